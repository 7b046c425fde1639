"""`models.rnn` and `models.pixelcnn`: what sees what, sums over all images, exact sampling."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import trainable
from keras import ops
from scipy import stats

from ganvae_lessons import training
from ganvae_lessons.models import pixelcnn, rnn

KINDS = ("rows", "row_lstm", "diagonal_bilstm", "pixelcnn")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def shaken(layer, scale=0.7):
    """The layer, with weights far from their initial ones, so that nothing is nearly zero."""
    for place, weight in enumerate(layer.trainable_variables):
        weight.assign(scale * noise(*weight.shape, seed=place))
    return layer


def built(layer, shape):
    """The layer, built for inputs of a shape and shaken."""
    layer.build(shape)
    return shaken(layer)


def small(kind, height, width, levels=2, layers=2):
    config = rnn.Config(kind, (height, width, 1), units=3, layers=layers, head=8, levels=levels)
    model = rnn.build_model(config)
    shaken(model.network, 0.5)
    return model


def all_images(height, width, levels=2):
    """Every image of the grid: (levels^(height·width), height, width, 1) in [−1, 1]."""
    values = np.linspace(-1, 1, levels)
    grid = np.array(list(itertools.product(values, repeat=height * width)), "float32")
    return grid.reshape(-1, height, width, 1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# --- what sees what -----------------------------------------------------------------------


def seen(function, height, width, channels, count=16):
    """[r, c, r′, c′]: does the output at (r, c) change, in any of some images, with (r′, c′)?"""
    images = noise(count, height, width, channels)
    before = ops.convert_to_numpy(function(images))
    found = np.zeros((height, width) * 2, bool)
    for row, column in np.ndindex(height, width):
        changed = images.copy()
        changed[:, row, column] += 1.5
        differs = ops.convert_to_numpy(function(changed)) != before
        found[:, :, row, column] = differs.any((0, 3))
    return found


def by_rule(height, width, rule):
    """[r, c, r′, c′] of `rule(rows up to the pixel, columns to the right of it)`."""
    cells = [(r, c) for r in range(height) for c in range(width)]
    flat = [[rule(r - other_r, other_c - c) for other_r, other_c in cells] for r, c in cells]
    return np.array(flat, bool).reshape(height, width, height, width)


def before(up, right):
    return up > 0 or (up == 0 and right < 0)


def before_or_self(up, right):
    return up > 0 or (up == 0 and right <= 0)


@pytest.mark.verifies(
    "models.rnn.build_network", against="each pixel perturbed: none sees later ones"
)
@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_no_output_depends_on_its_own_or_a_later_pixel(kind, levels):
    model = small(kind, 5, 6, levels)
    found = seen(model.network, 5, 6, 1)
    allowed = by_rule(5, 6, before)
    assert not (found & ~allowed).any()
    if kind == "diagonal_bilstm":
        # No first map of the last pixel's row has seen it, only the next row's, 3 to its left.
        for row in range(1, 5):
            allowed[row, :2, row - 1, 5] = False
    if kind in ("rows", "diagonal_bilstm"):  # else these see everything that comes before
        np.testing.assert_array_equal(found, allowed)
    nearest = by_rule(5, 6, lambda up, right: (up, right) in [(0, -1), (1, 0), (1, 1), (1, -1)])
    assert found[nearest].all()


@pytest.mark.verifies("models.pixelcnn.PixelModel", against="grey values: only their level is seen")
def test_a_grey_value_is_seen_as_its_level():
    """A network that saw more of a pixel than its level would give no likelihood of the levels."""
    for levels in (2, 3):
        model = small("pixelcnn", 3, 3, levels)
        images = np.random.default_rng(0).uniform(-1, 1, (5, 3, 3, 1)).astype("float32")
        rounded = pixelcnn.quantize(images, levels)
        np.testing.assert_allclose(model.log_likelihood(images), model.log_likelihood(rounded))


@pytest.mark.verifies("models.pixelcnn.MaskedConv2D", against="1601.06759, figure 4: masks A and B")
@pytest.mark.parametrize("mask", ["A", "B"])
@pytest.mark.parametrize("size", [(3, 3), (7, 7), (5, 3), (1, 3)])
def test_masked_convolution_sees_its_window(mask, size):
    layer = built(pixelcnn.MaskedConv2D(3, size, mask), (None, 6, 7, 2))
    own = before if mask == "A" else before_or_self
    rule = lambda up, right: own(up, right) and up <= size[0] // 2 and abs(right) <= size[1] // 2  # noqa: E731
    np.testing.assert_array_equal(seen(layer, 6, 7, 2), by_rule(6, 7, rule))


@pytest.mark.verifies("models.pixelcnn.MaskedConv2D", against="Conv2D of the whole kernel × mask")
@pytest.mark.parametrize("mask", ["A", "B"])
@pytest.mark.parametrize("size", [(3, 3), (7, 5)])
def test_masked_convolution_by_a_plain_one(mask, size):
    layer = pixelcnn.MaskedConv2D(3, size, mask)
    x = noise(2, 6, 7, 2)
    assert layer(x).shape == layer.compute_output_shape(x.shape) == (2, 6, 7, 3)
    shaken(layer)
    whole = noise(*size, 2, 3, seed=9)  # what is below the pixel is any number
    whole[: size[0] // 2 + 1] = layer.kernel.numpy()
    visible = np.ones((*size, 1, 1))
    visible[size[0] // 2, size[1] // 2 + (mask == "B") :] = 0
    visible[size[0] // 2 + 1 :] = 0
    plain = keras.layers.Conv2D(3, size, padding="same")
    plain.build(x.shape)
    plain.set_weights([whole * visible, layer.bias.numpy()])
    np.testing.assert_allclose(layer(x), plain(x), atol=1e-5)


LAYERS = {  # the rules of what a pixel sees: `up` rows above it, `right` columns to its right
    "rows": (lambda: rnn.RowByRow(3, 2, 4), 1, before),
    "row_lstm": (
        lambda: rnn.RowLSTM(2),  # figure 2: a triangle; the 1×3 kernel adds one place to the left
        4,
        lambda up, right: up >= 0 and -up - 1 <= right <= up,
    ),
    "diagonal_lstm": (lambda: rnn.DiagonalLSTM(3), 4, lambda up, right: up >= 0 and right <= 0),
    "diagonal_bilstm": (lambda: rnn.DiagonalBiLSTM(2), 4, before_or_self),
    "pixelcnn": (
        lambda: pixelcnn.ConvBlock(2),
        4,
        lambda up, right: before_or_self(up, right) and up <= 1 and abs(right) <= 1,
    ),
}


@pytest.fixture(params=LAYERS)
def causal(request):
    make, channels, rule = LAYERS[request.param]
    return built(make(), (None, 6, 7, channels)), channels, rule


@pytest.mark.verifies("models.rnn.RowByRow", against="each pixel perturbed: all before it, no more")
@pytest.mark.verifies("models.rnn.RowLSTM", against="1601.06759, figure 2: the triangle, exactly")
@pytest.mark.verifies("models.rnn.DiagonalLSTM", against="all above and left of it, exactly")
@pytest.mark.verifies("models.rnn.DiagonalBiLSTM", against="1601.06759, figure 2: all before it")
@pytest.mark.verifies("models.pixelcnn.ConvBlock", against="each pixel perturbed: 3×3, mask B")
def test_layers_see_exactly_what_the_paper_says(causal):
    layer, channels, rule = causal
    np.testing.assert_array_equal(seen(layer, 6, 7, channels), by_rule(6, 7, rule))


@pytest.mark.verifies("models.pixelcnn.Causal", against="the whole image at once: row by row equal")
def test_layers_follow_row_by_row(causal):
    layer, channels, _ = causal
    x = noise(3, 6, 7, channels)
    whole = ops.convert_to_numpy(layer(x))
    memory, parts = layer.blank(3, 7), []
    for start, end in ((0, 1), (1, 3), (3, 4), (4, 6)):
        part, memory = layer.follow(ops.convert_to_tensor(x[:, start:end]), memory)
        parts.append(part)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=2e-5)


# --- the recurrent layers, by hand ----------------------------------------------------------


def lstm_by_hand(gates, cell):
    """Equation 3 of 1601.06759, with 1 added to the forget gate."""
    output, forget, enter, content = np.split(gates, 4, axis=-1)
    cell = sigmoid(forget + 1) * cell + sigmoid(enter) * np.tanh(content)
    return sigmoid(output) * np.tanh(cell), cell


def diagonal_by_hand(layer, x):
    batch, height, width, _ = x.shape
    kernel, bias = (weight.numpy() for weight in layer.input_to_state.weights)
    transition = layer.state_to_state.kernel.numpy()
    hidden = np.zeros((batch, height + 1, width + 1, layer.units))  # a border of zeros
    cells = np.zeros_like(hidden)
    for r, c in np.ndindex(height, width):
        left, above = hidden[:, r + 1, c], hidden[:, r, c + 1]
        gates = x[:, r, c] @ kernel + bias + np.concatenate([left, above], -1) @ transition
        hidden[:, r + 1, c + 1], cells[:, r + 1, c + 1] = lstm_by_hand(gates, cells[:, r + 1, c])
    return hidden[:, 1:, 1:]


@pytest.mark.verifies("models.rnn.DiagonalLSTM", against="equation 3 pixel by pixel in NumPy")
@pytest.mark.verifies("models.rnn.DiagonalBiLSTM", against="two passes in NumPy, one moved down")
def test_diagonal_lstm_by_hand():
    x = noise(2, 4, 5, 6)
    layer = built(rnn.DiagonalBiLSTM(3), x.shape)
    left = diagonal_by_hand(layer.from_left, x)
    np.testing.assert_allclose(layer.from_left(x), left, atol=1e-5)
    right = diagonal_by_hand(layer.from_right, x[:, :, ::-1])[:, :, ::-1]
    right = np.concatenate([np.zeros((2, 1, 5, 3)), right[:, :-1]], axis=1)
    kernel, bias = (weight.numpy() for weight in layer.widen.weights)
    np.testing.assert_allclose(layer(x), x + (left + right) @ kernel + bias, atol=1e-5)


@pytest.mark.verifies("models.rnn.RowLSTM", against="equation 3 row by row in NumPy")
def test_row_lstm_by_hand():
    x = noise(2, 4, 5, 6)
    layer = built(rnn.RowLSTM(3), x.shape)
    found = layer(x)
    to_gates = layer.input_to_state.kernel.numpy()[0]
    across, bias = layer.state_to_state.kernel.numpy(), layer.input_to_state.bias.numpy()
    widen, widen_bias = (weight.numpy() for weight in layer.widen.weights)
    hidden, cell = np.zeros((2, 7, 3)), np.zeros((2, 5, 3))
    for r in range(4):
        row = np.pad(x[:, r], [[0, 0], [1, 0], [0, 0]])
        gates = row[:, :-1] @ to_gates[0] + row[:, 1:] @ to_gates[1] + bias
        gates = gates + sum(hidden[:, k : k + 5] @ across[k] for k in range(3))
        state, cell = lstm_by_hand(gates, cell)
        hidden = np.pad(state, [[0, 0], [1, 1], [0, 0]])
        np.testing.assert_allclose(found[:, r], x[:, r] + state @ widen + widen_bias, atol=1e-5)


@pytest.mark.verifies("models.rnn.RowByRow", against="each row apart by keras.layers.LSTM and sums")
def test_row_by_row_by_hand():
    x = noise(2, 4, 5, 1)
    layer = built(rnn.RowByRow(3, 1, 4), x.shape)
    kernel = layer.left.kernel.numpy()[0, :, 0]  # (9, 4): offsets −4 … 4
    for r, c in np.ndindex(4, 5):
        above = np.zeros((2, 3))
        if r:
            above = layer.lstms[0](x[:, :r, :, 0])[1]  # the state after r rows
        expected = above @ layer.spread.kernel.numpy().reshape(3, 5, 4)[:, c] + layer.left.bias
        expected = expected + x[:, r, :c, 0] @ kernel[4 - c : 4]
        np.testing.assert_allclose(layer(x)[:, r, c], expected, atol=1e-5)


@pytest.mark.verifies(
    "models.rnn.skew", "models.rnn.unskew", against="1601.06759, figure 3, by loops"
)
@pytest.mark.parametrize("size", [(3, 4), (4, 3), (1, 5), (5, 1)])
def test_skewing_by_hand(size):
    height, width = size
    maps = noise(2, height, width, 3)
    expected = np.zeros((2, height, width + height - 1, 3), "float32")
    for row in range(height):
        expected[:, row, row : row + width] = maps[:, row]
    np.testing.assert_array_equal(rnn.skew(maps), expected)
    np.testing.assert_array_equal(rnn.unskew(ops.convert_to_tensor(expected)), maps)


@pytest.mark.verifies("models.pixelcnn.ConvBlock", against="1601.06759, figure 5, of plain layers")
def test_conv_block_by_hand():
    x = noise(2, 4, 5, 6)
    layer = built(pixelcnn.ConvBlock(3), x.shape)
    hidden = np.maximum(x, 0) @ layer.narrow.kernel.numpy() + layer.narrow.bias.numpy()
    hidden = ops.convert_to_numpy(layer.conv(np.maximum(hidden, 0)))
    expected = x + np.maximum(hidden, 0) @ layer.widen.kernel.numpy() + layer.widen.bias.numpy()
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


# --- the likelihood -----------------------------------------------------------------------


@pytest.mark.verifies("models.pixelcnn.PixelModel", against="Σ p(x) = 1 over all images of a grid")
@pytest.mark.parametrize(("size", "levels"), [((2, 3), 2), ((2, 2), 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_all_images_sum_to_one(kind, size, levels):
    model = small(kind, *size, levels)
    probabilities = np.exp(model.log_likelihood(all_images(*size, levels)).astype("float64"))
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert probabilities.max() > 3 * probabilities.min()


@pytest.mark.verifies("models.pixelcnn.PixelModel", against="log-likelihoods from logits in NumPy")
@pytest.mark.parametrize("levels", [2, 4])
def test_log_likelihood_by_hand(levels):
    model = small("pixelcnn", 4, 5, levels)
    index = np.random.default_rng(0).integers(0, levels, (6, 4, 5))
    images = (index / (levels - 1) * 2 - 1).astype("float32")[..., None]
    logits = ops.convert_to_numpy(model(images)).astype("float64")
    if levels == 2:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    by_hand = np.take_along_axis(log_p, index[..., None], axis=-1).sum((1, 2, 3))
    np.testing.assert_allclose(model.log_likelihood(images, batch_size=4), by_hand, rtol=1e-5)
    loss = float(model.objective(ops.convert_to_tensor(images), training=True)["loss"])
    assert loss == pytest.approx(-by_hand.mean(), rel=1e-5)  # nats for each image


@pytest.mark.verifies("models.pixelcnn.quantize", against="0 … 255 grey levels and their nearest")
def test_quantize():
    steps = np.arange(256, dtype="float32").reshape(1, 16, 16, 1)
    np.testing.assert_allclose(
        pixelcnn.quantize(steps / 127.5 - 1, 256), steps / 127.5 - 1, atol=1e-6
    )
    values = np.array([-1, -0.6, -0.4, 0, 0.1, 1], "float32").reshape(1, 1, 6, 1)
    np.testing.assert_array_equal(pixelcnn.quantize(values).ravel(), [-1, -1, -1, -1, 1, 1])
    np.testing.assert_array_equal(pixelcnn.quantize(values, 3).ravel(), [-1, -1, 0, 0, 0, 1])


# --- sampling -----------------------------------------------------------------------------


def without_memory(model, count, seed, given=None, kept=0):
    """Ancestral sampling: the whole image's logits for each pixel, the rest in NumPy."""
    _, height, width, _ = model.network.input_shape
    uniforms = ops.convert_to_numpy(keras.random.uniform((count, height, width, 1), seed=seed))
    images = np.zeros((count, height, width, 1), "float32")
    images[:, :kept] = 0 if given is None else given[:, :kept]
    for r, c in itertools.product(range(kept, height), range(width)):
        logits = ops.convert_to_numpy(model.network(images))[:, r, c]
        if model.levels == 2:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        index = (uniforms[:, r, c] >= p.cumsum(-1)[:, :-1]).sum(-1)
        images[:, r, c, 0] = index / (model.levels - 1) * 2 - 1
    return images


@pytest.mark.verifies("models.pixelcnn.PixelModel", against="sampling that computes whole images")
@pytest.mark.parametrize("levels", [2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_sampling_row_by_row_equals_sampling_without_memory(kind, levels):
    model = small(kind, 5, 4, levels)
    samples = model.sample(20, seed=3)
    assert samples.shape == (20, 5, 4, 1)
    np.testing.assert_allclose(samples, without_memory(model, 20, 3), atol=1e-6)
    np.testing.assert_array_equal(samples, model.sample(20, seed=3))
    assert (samples != model.sample(20, seed=4)).any()
    given = model.sample(20, seed=8)
    completed = model.sample(20, seed=3, given=given, rows=3)
    np.testing.assert_array_equal(completed[:, :3], given[:, :3])
    np.testing.assert_allclose(completed, without_memory(model, 20, 3, given, 3), atol=1e-6)
    np.testing.assert_array_equal(model.sample(20, seed=3, given=given)[:, :2], given[:, :2])
    np.testing.assert_array_equal(model.sample(20, seed=3, given=given, rows=5), given)


@pytest.mark.verifies("models.pixelcnn.PixelModel", against="2×2: χ² against all 16 probabilities")
@pytest.mark.parametrize("kind", KINDS)
def test_samples_follow_the_model(kind):
    model = small(kind, 2, 2)
    expected = np.exp(model.log_likelihood(all_images(2, 2)).astype("float64"))
    code = lambda images: ((images.reshape(-1, 4) > 0) @ [8, 4, 2, 1]).astype(int)  # noqa: E731
    assert list(code(all_images(2, 2))) == list(range(16))
    counts = np.bincount(code(model.sample(4000, seed=1)), minlength=16)
    assert stats.chisquare(counts, 4000 * expected / expected.sum()).pvalue > 1e-3
    # the lower row, given an upper one: p(x) over the four images that have it, renormalized
    given = np.repeat(all_images(2, 2)[8:9], 2000, axis=0)  # upper row 1 0
    counts = np.bincount(code(model.sample(2000, seed=2, given=given, rows=1)), minlength=16)[8:12]
    conditional = expected[8:12] / expected[8:12].sum()
    assert stats.chisquare(counts, 2000 * conditional).pvalue > 1e-3
    assert stats.chisquare(counts).pvalue < 1e-3  # and not just anything passes


# --- sizes, training, errors ----------------------------------------------------------------


@pytest.mark.verifies("models.rnn.Config", against="1601.06759, section 5.3 and table 1, by hand")
@pytest.mark.verifies("models.rnn.build_network", against="the counts of each kind, by hand")
def test_counts_by_hand():
    h, wide = 16, 32
    first = 4 * 7 * wide + wide  # 7×7 above and in the pixel's row
    head = 2 * (32 * 32 + 32) + 33
    direction = (wide * 4 * h + 4 * h) + 2 * h * 4 * h
    layer = 2 * direction + (h * wide + wide)
    network = rnn.build_network(rnn.Config.paper())
    assert trainable(network) == network.count_params() == first + 7 * layer + head == 65_121
    assert [type(layer).__name__ for layer in network.layers].count("DiagonalBiLSTM") == 7
    row = (3 * wide * 4 * h + 4 * h) + 3 * h * 4 * h + (h * wide + wide)
    conv = (wide * h + h) + (2 * 3 * h * h + h) + (h * wide + wide)
    for kind, count in (("row_lstm", row), ("pixelcnn", conv)):
        config = rnn.Config(kind, units=16, layers=5, head=32)
        assert trainable(rnn.build_network(config)) == first + 5 * count + head
    lstm = 4 * (28 * 100 + 100 * 100 + 100)
    rows = lstm + 100 * 28 * 32 + (55 * 32 + 32)
    config = rnn.Config("rows", units=100, layers=1, head=32)
    assert trainable(rnn.build_network(config)) == rows + head
    grey = rnn.Config("pixelcnn", units=16, layers=5, head=32, levels=256)
    assert trainable(rnn.build_network(grey)) == first + 5 * conv + head - 33 + 33 * 256


@pytest.mark.verifies("models.rnn.Config", against="one step of the paper's network")
def test_the_papers_network_takes_a_step():
    model = rnn.build_model(rnn.Config.paper())
    model.compile(optimizer=keras.optimizers.RMSprop(1e-3))
    old = [weight.numpy() for weight in model.trainable_variables]
    images = pixelcnn.quantize(np.tanh(noise(2, 28, 28, 1)))
    loss = float(model.train_step(tf.constant(images))["loss"])
    assert loss == pytest.approx(784 * math.log(2), rel=0.2)
    still = [
        weight.path
        for before, weight in zip(old, model.trainable_variables, strict=True)
        if np.array_equal(before, weight.numpy())
    ]
    assert still == []


@pytest.mark.verifies("models.rnn.build_model", against="the entropies of data and lone pixels")
@pytest.mark.parametrize("kind", KINDS)
def test_training_passes_independent_pixels(kind):
    """8 equally likely pictures: no model is below log 8 nats, lone pixels reach Σ H(p_i)."""
    pictures = np.sign(noise(8, 4, 5, 1, seed=5))
    lone = stats.bernoulli((pictures.mean(0) + 1) / 2).entropy().sum()
    keras.utils.set_random_seed(0)
    model = rnn.build_model(rnn.Config(kind, (4, 5, 1), units=8, layers=1, head=8))
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    start = -model.log_likelihood(pictures).mean()
    model.fit(training.batches(pictures, 8), steps_per_epoch=120, verbose=0)
    end = -model.log_likelihood(pictures).mean()
    assert math.log(8) < end < lone / 2 < lone < start


@pytest.mark.parametrize("kind", KINDS)
def test_saved_networks_give_the_same_logits(kind, tmp_path):
    network = small(kind, 4, 5).network
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    images = noise(2, 4, 5, 1)
    np.testing.assert_array_equal(loaded(images), network(images))


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match=r"kind must be one of .*'pixelcnn'.*, got 'transformer'"):
        rnn.Config("transformer")
    with pytest.raises(ValueError, match=r"got \(28, 28, 3\); the masks know one channel only"):
        rnn.Config(image_shape=(28, 28, 3))
    with pytest.raises(ValueError, match="levels >= 2, got 16, 3, 32 and 1"):
        rnn.Config(units=16, layers=3, head=32, levels=1)
    with pytest.raises(ValueError, match=r"mask must be .A. or .B., got 'C'"):
        pixelcnn.MaskedConv2D(4, (3, 3), "C")
    with pytest.raises(ValueError, match=r"two odd numbers, got \(2, 3\)"):
        pixelcnn.MaskedConv2D(4, (2, 3), "A")
    model = small("pixelcnn", 4, 5)
    with pytest.raises(ValueError, match=r"must make 256 logits, got 1"):
        pixelcnn.PixelModel(model.network, levels=256)
    given = np.ones((3, 4, 5, 1), "float32")
    with pytest.raises(ValueError, match=r"given must be 2 images \(4, 5, 1\)"):
        model.sample(2, given=given)
    with pytest.raises(ValueError, match=r"rows from 0 to 4, got .* rows=5"):
        model.sample(3, given=given, rows=5)
    with pytest.raises(ValueError, match="rows must be None where no images are given, got 2"):
        model.sample(3, rows=2)
