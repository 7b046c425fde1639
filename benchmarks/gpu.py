"""What the gpu budget costs: time and memory of the lessons' trainings, computed, not measured.

Steps are counted by `cost` without running them, and a roofline makes hours of the counts. No GPU
was at hand to check. `python -m benchmarks.gpu` prints the table of the book's page on speed.
"""

import itertools
from dataclasses import dataclass, field

from benchmarks import cost, gpu_plans

TENSOR_SHARE = 0.3  # of the sheet's peak: our maps are small, 28×28 pixels and less
CORE_SHARE = 0.5  # the plain cores' peak is lower, and easier to come near to
BANDWIDTH_SHARE = 0.7  # what adding up and copying large arrays reaches
LAUNCH = 10e-6  # seconds from one small operation to the next, in TensorFlow's executor
LONGEST, LARGEST = 6.0, 16e9  # hours of a lesson on an A100, bytes of a training: see `check`
OVERHEAD = 1.5e9  # bytes for the context, the libraries and the convolutions' workspaces

# Float32 products on an A100 and an H100 are TensorFloat-32, as `fit` lets them be.
DEVICES = (
    cost.Device("T4", CORE_SHARE * 8.1e12, BANDWIDTH_SHARE * 320e9, LAUNCH, memory=16e9),
    cost.Device(
        "A100",
        TENSOR_SHARE * 156e12,
        BANDWIDTH_SHARE * 1555e9,
        LAUNCH,
        bfloat16=TENSOR_SHARE * 312e12,
        memory=40e9,
    ),
    cost.Device(
        "H100",
        TENSOR_SHARE * 495e12,
        BANDWIDTH_SHARE * 3350e9,
        LAUNCH,
        bfloat16=TENSOR_SHARE * 989e12,
        memory=80e9,
    ),
)


@dataclass(frozen=True)
class Row:
    """A plan, counted: one step's arithmetic, operations and memory; the hours of all its steps."""

    lesson: str
    what: str
    batch: int
    steps: float  # of all its runs
    flops: float
    operations: float
    memory: float  # bytes, OVERHEAD included
    hours: dict = field(hash=False)  # {device: hours}


def count(plan, half=False):
    """Return the Cost of a plan's step, its networks in bfloat16 if `half`."""
    with gpu_plans.policy("mixed_bfloat16" if half else "float32"):
        model, *shapes = plan.build(plan.config, plan.batch)
    return cost.of_step(model, *shapes)


def rows(plans=None):
    """Return a Row for each plan of the lessons, in their order; all of them take two minutes."""
    counts, made = {}, []
    for plan in gpu_plans.plans() if plans is None else plans:
        precisions = (False, True) if plan.mixed else (False,)
        for half in precisions:
            same = plan.build, plan.config, plan.batch, half
            if same not in counts:
                counts[same] = count(plan, half)
        steps = plan.steps * plan.runs
        hours = {}
        for device in DEVICES:
            half = plan.mixed and device.bfloat16 > 0
            step = counts[plan.build, plan.config, plan.batch, half]
            hours[device.name] = steps * step.seconds(device) / 3600
        full = counts[plan.build, plan.config, plan.batch, False]
        memory = full.peak_bytes + OVERHEAD
        made.append(
            Row(
                plan.lesson,
                plan.what,
                plan.batch,
                steps,
                full.flops,
                full.operations,
                memory,
                hours,
            )
        )
    return made


def totals(rows):
    """Return {lesson: {device: hours}}."""
    return {
        lesson: {device.name: sum(row.hours[device.name] for row in group) for device in DEVICES}
        for lesson, group in (
            (key, list(group)) for key, group in itertools.groupby(rows, key=lambda row: row.lesson)
        )
    }


def check(rows):
    """Raise ValueError where a lesson takes more than LONGEST on an A100, or LARGEST of memory."""
    for lesson, hours in totals(rows).items():
        if hours["A100"] > LONGEST:
            raise ValueError(
                f"lesson {lesson} would take {hours['A100']:.1f} hours on an A100 at the gpu "
                f"budget, expected at most {LONGEST:.0f}; take fewer steps or smaller networks"
            )
    for row in rows:
        if row.memory > LARGEST:
            raise ValueError(
                f"lesson {row.lesson}, {row.what}, needs {row.memory / 1e9:.1f} GB at the gpu "
                f"budget, expected at most {LARGEST / 1e9:.0f}; take a smaller batch"
            )


def table(rows):
    """Return the rows as a MyST table, with a line for each lesson's total."""
    names = [device.name for device in DEVICES]
    lines = [
        "| lesson | training | steps | batch | GFLOP a step | operations | GB | "
        + " | ".join(f"{name}, h" for name in names)
        + " |",
        "|---|---|" + "--:|" * (5 + len(names)),
    ]
    sums = totals(rows)
    for lesson, group in itertools.groupby(rows, key=lambda row: row.lesson):
        group = list(group)
        for row in group:
            cells = [row.lesson, row.what, f"{row.steps:,.0f}", f"{row.batch}"]
            cells += [f"{row.flops / 1e9:,.1f}", f"{row.operations:,.0f}"]
            cells += [f"{row.memory / 1e9:.1f}", *(_hours(row.hours[name]) for name in names)]
            lines.append("| " + " | ".join(cells) + " |")
        memory = max(row.memory for row in group)
        cells = ["", "**together**", "", "", "", "", f"**{memory / 1e9:.1f}**"]
        cells += [f"**{_hours(sums[lesson][name])}**" for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _hours(hours):
    return f"{hours:.2f}" if hours < 9.95 else f"{hours:.0f}"


def measure(plans=None):
    """Return the table of the plans, of all lessons by default, once they pass `check`."""
    counted = rows(plans)
    check(counted)
    return table(counted)


if __name__ == "__main__":
    print(measure())
