"""`plots`: what is drawn is what was given. Drawn off screen."""

import io

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from ganvae_lessons import plots, theory


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    yield
    plt.close("all")


def ramp(count):
    """Images of 2×3 whose value says which they are: −1 for the first, 1 for the last."""
    return np.linspace(-1, 1, count)[:, None, None, None] * np.ones((count, 2, 3, 1))


@pytest.mark.verifies("plots.montage", against="the place of each tile, by hand")
def test_montage_places_tiles():
    picture = plots.montage(ramp(5), columns=3, gap=1)
    assert picture.shape == (2 * 3 - 1, 3 * 4 - 1, 1)
    np.testing.assert_allclose(picture[0:2, 4:7, 0], 0.25)
    np.testing.assert_allclose(picture[3:5, 0:3, 0], 0.75)
    np.testing.assert_allclose(picture[2], 1)  # the gap
    np.testing.assert_allclose(picture[3:5, 8:11, 0], 1)  # the missing tile
    assert plots.montage(5 * ramp(2)).max() == 1


@pytest.mark.verifies("plots.image_grid", against="the array that Matplotlib was handed")
def test_image_grid_shows_the_montage():
    plots.image_grid(ramp(4), 2, title="four")
    axis = plt.gcf().axes[0]
    assert axis.get_title() == "four"
    np.testing.assert_allclose(axis.images[0].get_array(), plots.montage(ramp(4), 2)[..., 0])
    assert axis.images[0].get_clim() == (0, 1)


@pytest.mark.verifies("plots.curves", against="the lines that Matplotlib was handed")
@pytest.mark.verifies("plots.COLORS", against="the colors of the drawn lines")
def test_curves_keep_values_and_colors():
    plots.curves({"generator": [3, 1], "discriminator": [2, 4]}, xlabel="epoch", ylabel="nats")
    first, second = plt.gcf().axes[0].lines
    np.testing.assert_array_equal(first.get_xydata(), [[1, 3], [2, 1]])
    assert first.get_color() == plots.COLORS["generator"]
    assert second.get_color() == plots.COLORS["discriminator"]
    assert plt.gcf().axes[0].get_ylabel() == "nats"


@pytest.mark.verifies("plots.points", against="the scatter's own coordinates")
def test_points_draws_both_clouds():
    plots.points([[1.0, 2.0]], real=[[3.0, 4.0]], limit=5)
    real, model = plt.gcf().axes[0].collections
    np.testing.assert_array_equal(real.get_offsets(), [[3, 4]])
    np.testing.assert_array_equal(model.get_offsets(), [[1, 2]])
    assert plt.gcf().axes[0].get_xlim() == (-5, 5)


@pytest.mark.verifies("plots.field", against="the Dirac-GAN's arrows, normalized by hand")
def test_field_draws_unit_arrows_and_the_path():
    path = theory.dirac_gan("gan", learning_rate=0.2, steps=3)
    plots.field(lambda x, y: theory.dirac_gan_field("gan", x, y), path=path)
    axis = plt.gcf().axes[0]
    np.testing.assert_array_equal(axis.lines[0].get_xydata(), path)
    arrows = axis.collections[0]
    lengths = np.hypot(arrows.U, arrows.V)
    assert np.isclose(lengths, 1, atol=1e-6).sum() == len(lengths) - 1  # all but the origin
    x, y = arrows.get_offsets()[3]
    expected = np.array(theory.dirac_gan_field("gan", x, y))
    np.testing.assert_allclose(
        [arrows.U[3], arrows.V[3]], expected / np.linalg.norm(expected), atol=1e-9
    )


@pytest.mark.verifies("plots.animation", against="the GIF, decoded again by Pillow")
def test_animation_plays_every_frame():
    shown = plots.animation([np.full((4, 5, 1), value) for value in (0, 0.5, 1)])
    movie = Image.open(io.BytesIO(shown.data))
    assert movie.n_frames == 3
    values = []
    for place in range(3):
        movie.seek(place)
        values.append(int(np.asarray(movie.convert("L")).mean()))
    np.testing.assert_allclose(values, [0, 127, 255], atol=2)


def test_bad_images_are_named():
    with pytest.raises(ValueError, match=r"images must be \(N, H, W, 1 or 3\).*got \(28, 28\)"):
        plots.montage(np.zeros((28, 28)))
