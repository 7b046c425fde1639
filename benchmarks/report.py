"""Tables (MyST) and plots (SVG) of the results of `python -m benchmarks`."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from ganvae_lessons import plots

TITLES = {
    "machine": "The machine",
    "steps": "A training step of each model",
    "recipes": "The same network, this course's recipe and the classic ones",
    "targets": "Seconds of training to a Fréchet distance",
    "sampling": "Drawing images",
    "scaling": "How cost grows",
    "gpu": "What the gpu budget costs, computed",
}


def write(results, folder):
    """Write NAME.md for each table and NAME.svg for each plot of what was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tables(results).items():
        (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    for name, draw in (("quality", _quality), ("scaling", _scaling), ("steps", _steps)):
        if name in results:
            figure = draw(results[name])
            # no date, fixed names: the same results give the same file
            with plt.rc_context({"svg.hashsalt": name}):
                figure.savefig(folder / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
            plt.close(figure)


def tables(results):
    """Return {name: MyST table} of the parts that were measured."""
    made = {"machine": _machine(results)}
    if "steps" in results:
        made["steps"] = _table(
            "model | weights | batch | GFLOP an image | images/s | share of the peak "
            "| predicted | memory, MB",
            [
                f"{row['model']} | {row['weights']:,} | {row['batch']} "
                f"| {row['gflop_per_image']:.3f} | {_three(row['images_per_second'])} "
                f"| {row['share']:.0%} | {row['predicted']:.0%} | {row['peak_megabytes']:.0f}"
                for row in results["steps"]["steps"]
            ],
        )
        made["recipes"] = _table(
            "network | recipe | images/s | times ours",
            [
                f"{row['task']} | {row['recipe']} | {_three(row['images_per_second'])} "
                f"| {row['ratio']:.2f}"
                for row in results["steps"]["recipes"]
            ],
        )
    if "quality" in results:
        curves = results["quality"]["curves"]
        made["targets"] = _table(
            "distance | " + " | ".join(curves),
            [
                f"{row['distance']} | "
                + " | ".join(_reached(row[name], curve) for name, curve in curves.items())
                for row in results["quality"]["targets"]
            ],
        )
    if "sampling" in results:
        made["sampling"] = _table(
            "model | images/s",
            [f"{row['model']} | {_three(row['images_per_second'])}" for row in results["sampling"]],
        )
    if "scaling" in results:
        made["scaling"] = _table(
            "what grows | of which work | from – to | exponent | between the last two",
            [
                f"{row['what']} | {row['of']} | {row['sizes'][0]:,} – {row['sizes'][-1]:,} "
                f"| {_signed(row['exponent'])}{_error(row['error'])} | {_signed(row['last'])}"
                for row in results["scaling"]
            ],
        )
    if "gpu" in results:
        made["gpu"] = results["gpu"].strip()
    return made


def _machine(results):
    rows = [f"{name} | {text}" for name, text in results["about"].items()]
    rows.append(f"Budget | {results['budget']}")
    if "steps" in results:
        rates = results["steps"]["machine"]
        rows += [
            f"A median round | {results['steps']['unrest']:.2f} times the fastest",
            f"Matrix product | {rates['float32'] / 1e9:.0f} GFLOP/s",
            f"Memory traffic | {rates['bandwidth'] / 1e9:.1f} GB/s",
            f"Smallest operation | {rates['launch'] * 1e6:.1f} µs",
        ]
    return _table("what | here", rows)


def _table(head, rows):
    columns = head.count("|") + 1
    rule = "|".join(["---"] + ["---:"] * (columns - 1)) if columns > 2 else "---|---"
    return "\n".join([f"| {head} |", f"|{rule}|", *(f"| {row} |" for row in rows)])


def _three(value):
    """Three significant digits, without an exponent: 0.123, 12.3, 1,230."""
    digits = f"{value:.3g}"
    return f"{float(digits):,.0f}" if value >= 100 else digits


def _signed(value):
    return f"{value:.2f}".replace("-", "−")


def _error(value):
    return "" if value != value else f" ± {value:.2f}"  # NaN: two sizes have no error


def _reached(seconds, curve):
    return f"not in {curve[-1][0]:.0f} s" if seconds is None else f"{seconds:.0f} s"


def _steps(results):
    rows = sorted(results["steps"], key=lambda row: row["share"])
    figure, axis = plt.subplots(figsize=(7, 0.32 * len(rows) + 1))
    names = [row["model"] for row in rows]
    axis.barh(names, [row["share"] for row in rows], color=plots.COLORS["model"])
    axis.axvline(1, color="0.4", ls="--", lw=1)
    axis.set(xlabel="share of the peak of a matrix product")
    axis.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1))
    return figure


def _quality(results):
    figure, axis = plt.subplots(figsize=(7, 3.6))
    colors = (plots.COLORS["model"], plots.COLORS["discriminator"])
    for (name, curve), color in zip(results["curves"].items(), colors, strict=True):
        seconds, distances = zip(*curve, strict=True)
        axis.plot(seconds, distances, "o-", ms=4, color=color, label=name)
    axis.set(xlabel="seconds of training", ylabel="Fréchet distance", yscale="log")
    axis.legend()
    return figure


def _scaling(rows):
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True)
    for axis, steps in zip(axes, (True, False), strict=True):
        for row, marker in zip(
            (row for row in rows if ("step" in row["of"]) == steps), "osD^v", strict=False
        ):
            relative = [size / row["sizes"][0] for size in row["sizes"]]
            label = row["what"] if steps else row["of"]
            axis.plot(relative, row["seconds"], marker + "-", ms=5, label=label)
        axis.set(xscale="log", yscale="log", xlabel="times the smallest size")
        axis.legend(fontsize=8)
    axes[0].set(ylabel="seconds", title="a training step of the DCGAN")
    axes[1].set(title="other work")
    return figure
