"""The gpu budgets: read from the notebooks, each step taken at a tiny batch, and what they cost."""

import dataclasses
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import cost, gpu, gpu_plans, lessons
from ganvae_lessons import budget
from ganvae_lessons.models import convlstm, dcgan, rnn, stackgan

PLANS = gpu_plans.plans()


QUICK = ("04", "05", "06", "07", "08", "11")  # to count; the book counts them all, for two minutes


@pytest.fixture(scope="module")
def rows():
    return gpu.rows([plan for plan in PLANS if plan.lesson in QUICK])


def test_values_are_those_that_stand_in_the_notebooks():
    """The same by searching the text, for one setting of each form."""
    path = next(lessons.NOTEBOOKS.glob("05*.ipynb"))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join(["", *("".join(cell["source"]) for cell in cells)])
    found = re.search(r"\nsteps = budget\.pick\(.*gpu=([\d_]+)\)", text).group(1)
    assert lessons.gpu_value("05", "steps") == int(found)
    maps = re.search(
        r"\nconfig = budget\.pick\(.*?gpu=dcgan\.Config\(filters=\(([^)]*)", text, re.S
    )
    filters = tuple(int(number) for number in maps.group(1).split(","))
    assert lessons.gpu_value("05", "config") == dcgan.Config(filters=filters)
    assert lessons.gpu_value("05", "shallow_config") == dcgan.Config(filters=filters[1:])
    assert lessons.gpu_value("15", "SIDE") == 2 * lessons.gpu_value("15", "ITEM") + 8
    assert lessons.keys("13", "variants")[1] == "γ = 0"
    assert lessons.default("14", "train", "batch_size") == 50


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: lessons.gpu_value("05", "no_such"), "lesson 05 assigns no no_such"),
        (lambda: lessons.default("05", "play", "config"), "play of lesson 05 has no default"),
        (lambda: lessons.argument("05", "play", "nobody", 1), r"no play\(nobody, …\)"),
        (lambda: lessons.gpu_value("05", "config", "no_such"), "lesson 05 defines no no_such"),
    ],
)
def test_what_a_notebook_does_not_have_is_named(ask, message):
    with pytest.raises(KeyError, match=message):
        ask()


def test_every_lesson_with_training_has_a_plan():
    assert {plan.lesson for plan in PLANS} == {f"{number:02}" for number in range(4, 16)}
    mixed = {plan.lesson for plan in PLANS if plan.mixed}
    assert mixed == {name[:2] for name in lessons.names() if lessons.mixed(name)}


def steps_to_take():
    """One plan for each network of the lessons, and each policy under which it is built."""
    met = {}
    for plan in PLANS:
        config = plan.config
        if config == rnn.Config.paper() or getattr(config, "kind", "") == "fc_lstm":
            continue  # too much for a minute: they take their step in test_rnn and test_models
        if isinstance(config, convlstm.Config):  # the weights do not depend on the frames
            config = dataclasses.replace(config, frames_in=1, frames_out=1)
        for policy in ("float32", "mixed_bfloat16")[: 1 + plan.mixed]:
            met.setdefault((plan.build, config, policy), plan)
    return [
        pytest.param(*key, id=f"{plan.lesson}-{plan.what}-{key[2][:5]}")
        for key, plan in met.items()
    ]


@pytest.mark.parametrize(("build", "config", "policy"), steps_to_take())
def test_a_step_at_the_lessons_size(build, config, policy, modern_gpu, monkeypatch):
    """What the lesson builds at its gpu budget takes a step, under its policy, and moves."""
    if policy == "float32":
        monkeypatch.setenv("GANVAE_BUDGET", "laptop")
    with budget.mixed_precision() as found:
        assert found == policy
        model, *shapes = build(config, 1 if getattr(config, "resolution", 0) == 32 else 2)
    generator = np.random.default_rng(0)
    batch = tuple(
        tf.range(shape.shape[0], dtype=shape.dtype)
        if isinstance(shape, tf.TensorSpec)
        else tf.constant(generator.uniform(-1, 1, shape), "float32")
        for shape in shapes
    )
    before = [weight.numpy() for weight in model.trainable_variables]
    model.train_step(batch if len(batch) > 1 else batch[0])
    assert model.first_bad_step == 0
    after = [weight.numpy() for weight in model.trainable_variables]
    assert all(np.isfinite(weight).all() for weight in after)
    moved = [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
    assert np.mean(moved) > 0.9  # a weight that nothing reaches in two images may stay


def test_the_arithmetic_of_a_dcgan_by_hand(rows):
    """Its layers' shapes, and which passes a step needs.

    G runs forward once and back to its weights and its maps, but not to the latents. D runs forward
    twice and back twice to its weights and maps, but not to the images; and once more from the
    generator's loss to the made images, its weights left alone.
    """
    row = next(row for row in rows if (row.lesson, row.what) == ("05", "DCGAN"))
    latents, deep, middle, wide = 64, 512, 256, 128
    dense = latents * 16 * deep  # 4×4 maps of 512
    up = [16 * 16 * deep * middle, 16 * 49 * middle * wide, 16 * 196 * wide * 1]  # 4×4 kernels
    down = [16 * 196 * wide * 1, 16 * 49 * middle * wide, 16 * 16 * deep * middle]
    logit = 16 * deep
    generator, discriminator = dense + sum(up), sum(down) + logit
    products = 3 * generator - dense + 7 * discriminator - 2 * down[0]
    assert row.flops == 2 * row.batch * products


def test_what_the_lessons_cost(rows):
    assert {row.lesson for row in rows} == set(QUICK)
    sums = gpu.totals(rows)
    for lesson, hours in sums.items():
        assert 0 < hours["H100"] <= hours["A100"] <= hours["T4"], lesson
    gpu.check(rows)
    assert min(row.memory for row in rows) >= gpu.OVERHEAD


def test_too_long_or_too_large_is_an_error(rows):
    longer = dataclasses.replace(rows[0], hours={"T4": 9.0, "A100": gpu.LONGEST + 0.1, "H100": 1.0})
    with pytest.raises(ValueError, match=f"lesson {rows[0].lesson} would take .* on an A100"):
        gpu.check([longer])
    larger = dataclasses.replace(rows[0], memory=gpu.LARGEST + 1)
    with pytest.raises(ValueError, match=r"needs 16\.0 GB"):
        gpu.check([larger])


def test_the_table(rows):
    text = gpu.table(rows)
    lines = text.splitlines()
    assert len(lines) == 2 + len(rows) + len(gpu.totals(rows))
    assert len({line.count("|") for line in lines}) == 1
    row = next(row for row in rows if (row.lesson, row.what) == ("05", "DCGAN"))
    (line,) = (line for line in lines if line.startswith("| 05 | DCGAN |"))
    assert f"| {row.hours['A100']:.2f} |" in line and f"| {row.steps:,.0f} |" in line


def test_hours_are_steps_times_seconds():
    plan = next(plan for plan in PLANS if plan.lesson == "07")
    twice = dataclasses.replace(plan, runs=2 * plan.runs)
    one, two = gpu.rows([plan, twice])
    step = gpu.count(plan)
    for device in gpu.DEVICES:
        seconds = plan.steps * step.seconds(device)
        assert one.hours[device.name] == pytest.approx(seconds / 3600)
        assert two.hours[device.name] == pytest.approx(2 * seconds / 3600)


def test_the_papers_stackgan_is_counted_not_run():
    """256×256 in batches of 64: too much for two cores; it fits into 16 GB."""
    config = stackgan.Config.paper()
    networks = (
        stackgan.stack(
            stackgan.build_stage1_generator(config), stackgan.build_stage2_generator(config)
        ),
        stackgan.build_stage2_discriminator(config),
    )
    model = stackgan.StackGAN(*networks)
    model.compile(*(tf.keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in networks))
    size = config.stage2_size
    step = cost.of_step(model, (64, size, size, 3), (64, config.text_dim))
    assert 5e12 < step.flops < 9e12 and 5e9 < step.peak_bytes < 16e9
