"""The table of the data sets: one `Entry` for each, and a `Catalog` that prints them.

A catalog is a tuple of entries, so it can be iterated, indexed and counted. It prints as aligned
text in a terminal and as an HTML table in a notebook, without colors of its own, so that it reads
on a light and on a dark page.
"""

import html
from dataclasses import dataclass

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Entry:
    """What there is to know about one data set.

    `shape` is that of one image, (height, width, channels). `full_train` and `full_test` are None
    where nothing beyond the embedded images is offered. `sha256` is that of the embedded `file`.
    With `captions`, an image has a caption instead of a class.
    """

    name: str
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    embedded_train: int
    embedded_test: int
    full_train: int | None
    full_test: int | None
    source: str
    license: str
    file: str
    sha256: str
    captions: bool = False

    def embedded(self, split):
        """Number of embedded images of a split, "train" or "test"."""
        return self.embedded_train if split == "train" else self.embedded_test

    def full(self, split):
        """Number of images of a split in the full set, or None where there is no full set."""
        return self.full_train if split == "train" else self.full_test


class Catalog(tuple):
    """A tuple of `Entry` that shows itself as a table."""

    __slots__ = ()

    HEADER = ("name", "image", "classes", "embedded", "full", "source", "license", "sha256")

    def _cells(self):
        for entry in self:
            yield (
                entry.name,
                " × ".join(str(size) for size in entry.shape),
                "captions" if entry.captions else str(len(entry.class_names)),
                _counts(entry.embedded_train, entry.embedded_test),
                _counts(entry.full_train, entry.full_test),
                entry.source,
                entry.license,
                entry.sha256,
            )

    def __repr__(self):
        # Twelve digits tell two files apart; the whole sum is in each entry's `sha256`.
        rows = [self.HEADER, *((*cells[:-1], cells[-1][:12] + "…") for cells in self._cells())]
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        rows.insert(1, tuple("-" * width for width in widths))
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def _repr_html_(self):
        head = "".join(f'<th scope="col">{name}</th>' for name in self.HEADER)
        body = "".join(
            "<tr>"
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells[:-1])
            + f'<td title="{cells[-1]}"><code>{cells[-1][:12]}…</code></td></tr>'
            for cells in self._cells()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _counts(train, test):
    return "—" if train is None else f"{train:,} + {test:,}"
