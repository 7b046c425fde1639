"""The benchmarks: the clock against a clock of our own, the classic recipes against their counts.

That the whole of it runs, and that the page shows it, is tested by the smoke book.
"""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import trainable
from test_cache import Project

from benchmarks import classic, clock, models, quality, report, scaling, steps
from ganvae_lessons.models import dcgan, rnn, vae

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def watch(monkeypatch):
    """A clock that only the contestants move."""

    class Watch:
        now = 0.0

    monkeypatch.setattr(clock.time, "perf_counter", lambda: Watch.now)
    return Watch


def test_contestants_take_turns_and_are_timed_by_the_unit(watch):
    order = []

    def contestant(name, seconds, at_once=1):
        def run(count):
            assert count % at_once == 0
            order.append((name, count))
            watch.now += count * seconds

        run.at_once = at_once
        return run

    found = clock.take_turns(
        {"a": contestant("a", 0.01), "b": contestant("b", 0.03, at_once=5)}, 3, seconds=0.5
    )
    np.testing.assert_allclose(found["a"], [0.01] * 3)
    np.testing.assert_allclose(found["b"], [0.03] * 3)
    assert order[-6:] == [("a", 50), ("b", 15)] * 3  # half a second each, in multiples


def test_the_best_round_counts():
    assert clock.best(np.array([0.2, 0.1, 0.2, 0.4])) == (0.1, pytest.approx(2.0))


def test_rates_of_the_yardsticks():
    seconds = {"matmul": 2 * 1024**3 / 1e9, "bandwidth": 12 * 2**24 / 1e9, "launch": 6e-3}
    found = clock.device(seconds)
    assert found.bandwidth == pytest.approx(1e9) and found.launch == pytest.approx(1e-6)
    assert found.float32 == pytest.approx(1e9)
    for name, run in clock.yardsticks().items():
        run(1)
        assert name in seconds


def test_the_fitted_exponent():
    sizes = np.array([1, 2, 4, 8])
    slope, error, last = scaling.fit(sizes, 3.0 * sizes**1.5)
    assert (slope, last) == (pytest.approx(1.5), pytest.approx(1.5))
    assert error == pytest.approx(0, abs=1e-6)
    # by scipy's linear regression
    import scipy.stats

    for count in (3, 4):
        seconds = np.array([1.0, 1.4, 3.5, 6.0])[:count]
        expected = scipy.stats.linregress(np.log(sizes[:count]), np.log(seconds))
        slope, error, last = scaling.fit(sizes[:count], seconds)
        assert slope == pytest.approx(expected.slope)
        assert error == pytest.approx(expected.stderr)
        assert last == pytest.approx(np.log2(seconds[-1] / seconds[-2]))


def test_the_first_time_at_a_distance():
    curves = {"a": [(0, 90.0), (5, 40.0), (9, 45.0)], "b": [(0, 90.0), (5, 80.0)]}
    assert quality._reached(50, curves) == {"distance": 50, "a": 5, "b": None}


def test_the_tutorials_network_by_its_published_counts():
    generator, discriminator = classic.tutorial_networks()
    assert generator.count_params() == 2_330_944  # as its model summary says
    assert discriminator.count_params() == 1_664 + 204_928 + 6_273


def test_the_torch_network_is_ours():
    pytest.importorskip("torch")
    images = np.zeros((8, 28, 28, 1), "float32")
    config = dcgan.Config(filters=(8, 6, 4))
    game = classic.TorchDCGAN(images, config, 4, 1)
    count = lambda network: sum(weight.numel() for weight in network.parameters())  # noqa: E731
    assert count(game.generator) == trainable(dcgan.build_generator(config))
    assert count(game.discriminator) == trainable(dcgan.build_discriminator(config))
    made = game.generator(game.torch.zeros(2, config.latent_dim))
    assert tuple(made.shape) == (2, 1, 28, 28)


def weights(*networks):
    return [np.array(weight.numpy()) for net in networks for weight in net.trainable_variables]


@pytest.mark.parametrize("recipe", ["tutorial", "keras", "vae", "torch"])
def test_every_recipe_moves_all_its_networks(recipe):
    images = models.fashion(64)
    config = dcgan.Config(filters=(8, 6, 4))
    nets = dcgan.build_generator(config), dcgan.build_discriminator(config)
    if recipe == "tutorial":
        run = classic.TutorialLoop(*nets, images, 16).train
    elif recipe == "keras":
        game = classic.KerasGAN(*nets)
        game.compile(models.adam(), models.adam())
        run = steps._fit_array(game, images, 16)
    elif recipe == "vae":
        small = vae.Config(filters=(4, 8), units=(16,))
        nets = vae.build_encoder(small), vae.build_decoder(small)
        model = classic.KerasVAE(*nets)
        model.compile(optimizer=models.adam())
        run = steps._fit_array(model, images, 16)
    else:
        pytest.importorskip("torch")
        game = classic.TorchDCGAN(images, config, 16, 1)
        pair = (game.generator, game.discriminator)
        values = lambda: [w.detach().clone() for n in pair for w in n.parameters()]  # noqa: E731
        before = values()
        game.train(5)
        assert all(not old.equal(new) for old, new in zip(before, values(), strict=True))
        return
    before = weights(*nets)
    run(5)
    for old, new in zip(before, weights(*nets), strict=True):
        assert np.isfinite(new).all() and not np.array_equal(old, new)


def test_fit_on_an_array_makes_the_steps_that_it_is_timed_for():
    made = []

    class Counter:
        def fit(self, images, batch_size, epochs, verbose):
            made.append(-(-len(images) // batch_size) * epochs)  # an incomplete batch is a step

    run = steps._fit_array(Counter(), np.zeros((100, 1)), 16)
    for count in (5, 6, 10, 25):
        made.clear()
        run(count)
        assert sum(made) == count


def test_a_pixel_at_a_time_draws_what_the_cached_sampler_draws():
    keras.utils.set_random_seed(0)
    model = rnn.build_model(rnn.Config("pixelcnn", image_shape=(5, 6, 1), units=4, head=4))
    plain = classic.PixelByPixel(model.network).sample(3, seed=7)
    np.testing.assert_array_equal(plain, model.sample(3, seed=7))
    assert set(np.unique(plain)) == {-1.0, 1.0}


RESULTS = {
    "budget": "laptop",
    "about": {"Processor": "a fast one"},
    "steps": {
        "unrest": 1.2,
        "machine": {"float32": 2e11, "bandwidth": 2e10, "launch": 1e-6},
        "steps": [
            {
                "model": "GAN",
                "weights": 1234567,
                "batch": 64,
                "gflop_per_image": 0.0123,
                "images_per_second": 1234.5,
                "share": 0.42,
                "predicted": 1.07,
                "peak_megabytes": 28.8,
            }
        ],
        "recipes": [{"task": "t", "recipe": "r", "images_per_second": 45.67, "ratio": 0.5}],
    },
    "quality": {
        "curves": {"a": [[0, 200.0], [8.0, 20.0]], "b": [[0, 200.0], [8.0, 150.0]]},
        "targets": [{"distance": 20, "a": 8.0, "b": None}],
    },
    "scaling": [
        {
            "what": "images in the set",
            "of": "a step",
            "sizes": [1000, 2000, 4000],
            "seconds": [0.1, 0.1, 0.09],
            "exponent": -0.08,
            "error": 0.04,
            "last": -0.15,
        },
        {
            "what": "images",
            "of": "x",
            "sizes": [1, 2],
            "seconds": [1.0, 2.0],
            "exponent": 1.0,
            "error": float("nan"),
            "last": 1.0,
        },
    ],
}


def test_tables_say_what_was_measured(tmp_path):
    found = report.tables(RESULTS)
    assert "| GAN | 1,234,567 | 64 | 0.012 | 1,230 | 42% | 107% | 29 |" in found["steps"]
    assert "| t | r | 45.7 | 0.50 |" in found["recipes"]
    assert "| 20 | 8 s | not in 8 s |" in found["targets"]
    assert "| 1,000 – 4,000 | −0.08 ± 0.04 | −0.15 |" in found["scaling"]
    assert "| 1 – 2 | 1.00 | 1.00 |" in found["scaling"]
    assert "| Matrix product | 200 GFLOP/s |" in found["machine"]
    for text in found.values():
        lines = text.splitlines()
        assert len({line.count("|") for line in lines}) == 1, text
    report.write(RESULTS, tmp_path)
    for name in ("steps", "quality", "scaling"):
        assert "<svg" in (tmp_path / f"{name}.svg").read_text()


FAKE = """
import sys
from pathlib import Path
folder = Path(sys.argv[sys.argv.index("--output") + 1])
folder.mkdir(parents=True)
with open("runs", "a") as file:
    file.write(sys.argv[sys.argv.index("--budget") + 1] + "\\n")
(folder / "steps.md").write_text("measured " + str(len(open("runs").readlines())))
(folder / "results.json").write_text("{}")
"""


def test_the_book_measures_once_for_the_same_code(tmp_path):
    project = Project(tmp_path)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/__init__.py").write_text("")
    (tmp_path / "benchmarks/__main__.py").write_text(FAKE)
    project.page("```{include} _generated/bench/steps.md\n```")
    runs = lambda: len((tmp_path / "runs").read_text().splitlines())  # noqa: E731
    assert project.executions() == 1 and runs() == 1
    assert "measured 1" in (project.html / "book/introduction.html").read_text()
    assert project.executions() == 0 and runs() == 1
    (tmp_path / "benchmarks/__init__.py").write_text('"""Other code."""')
    assert project.executions() == 0 and runs() == 2
    assert "measured 2" in (project.html / "book/introduction.html").read_text()
    (tmp_path / "benchmarks/__main__.py").write_text("raise SystemExit(3)")
    result = project.build()
    assert result.returncode != 0 and "the benchmarks failed" in result.stderr


def test_the_page_shows_each_table_and_plot():
    """What report.py makes is on the page, and the page includes nothing else of it."""
    page = (ROOT / "book/performance.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"_generated/bench/(\w+\.\w+)", page))
    made = {f"{name}.md" for name in report.TITLES} | {
        f"{n}.svg" for n in ("steps", "quality", "scaling")
    }
    assert shown == made


def test_results_are_json():
    assert json.loads(json.dumps(RESULTS))["budget"] == "laptop"
