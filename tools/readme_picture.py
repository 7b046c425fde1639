"""Make the README's picture from figures of the lessons, as the last `make book` executed them.

`python tools/readme_picture.py` reads the execution cache under _build and writes
book/_static/readme.png. Figures are found by the name that their cells carry.
"""

import base64
import io
import sys
from pathlib import Path

import nbformat
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
ROWS = (("fig-04-ring", "fig-04-clothes"), ("fig-11-images", "fig-11-map"))
HEIGHT = 330  # pixels, of each figure
GAP = 24


def figures(folder):
    """Return {name: picture} of every named figure in the cached notebooks of a folder."""
    found = {}
    for path in sorted(folder.glob("*/base.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
            for output in cell.get("outputs", []):
                if name and "image/png" in output.get("data", {}):
                    data = base64.b64decode(output["data"]["image/png"])
                    found[name] = Image.open(io.BytesIO(data)).convert("RGB")
    return found


def compose(found):
    """Put the figures of ROWS into one picture, each at one height, rows centered."""
    rows = []
    for names in ROWS:
        pictures = [found[name] for name in names]
        rows.append(
            [p.resize((p.width * HEIGHT // p.height, HEIGHT), Image.LANCZOS) for p in pictures]
        )
    widths = [sum(p.width for p in row) + GAP * (len(row) - 1) for row in rows]
    size = (max(widths) + 2 * GAP, len(rows) * (HEIGHT + GAP) + GAP)
    page = Image.new("RGB", size, "white")
    for index, (row, width) in enumerate(zip(rows, widths, strict=True)):
        left, top = (size[0] - width) // 2, GAP + index * (HEIGHT + GAP)
        for picture in row:
            page.paste(picture, (left, top))
            left += picture.width + GAP
    return page


def main():
    found = figures(ROOT / "_build/.jupyter_cache/executed")
    missing = [name for row in ROWS for name in row if name not in found]
    if missing:
        sys.exit(f"no executed figure named {', '.join(missing)}; run 'make book' first")
    target = ROOT / "book/_static/readme.png"
    compose(found).save(target, optimize=True)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
