"""`benchmarks.cost`: arithmetic, memory and time of graphs, against counts by hand."""

import keras
import pytest
import tensorflow as tf

from benchmarks import cost
from ganvae_lessons import training
from ganvae_lessons.models import gan

FLOAT = 4  # bytes


def gradients(network, images):
    """The Cost of a network's summed outputs and of their slopes at its weights."""

    def of(batch):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(network(batch, training=True))
        return total, tape.gradient(total, network.trainable_variables)

    return cost.of_call(of, images)


@pytest.mark.parametrize(
    ("layer", "shape", "forward"),
    [
        (keras.layers.Dense(5), (8, 7), 2 * 8 * 7 * 5),
        # the outputs' positions times the kernel: 14×14 for a stride of 2
        (
            keras.layers.Conv2D(6, 5, strides=2, padding="same"),
            (8, 28, 28, 3),
            2 * 8 * 14 * 14 * 6 * 25 * 3,
        ),
        (
            keras.layers.Conv2D(6, 3, padding="valid"),
            (8, 28, 27, 3),
            2 * 8 * 26 * 25 * 6 * 9 * 3,
        ),
        # the inputs' positions times the kernel
        (
            keras.layers.Conv2DTranspose(6, 4, strides=2, padding="same"),
            (8, 7, 7, 3),
            2 * 8 * 7 * 7 * 3 * 16 * 6,
        ),
    ],
    ids=["dense", "strided", "valid", "transposed"],
)
def test_layers_by_hand(layer, shape, forward):
    network = keras.Sequential([keras.Input(shape[1:]), layer])
    assert cost.of_call(network, shape).flops == forward
    # nobody asks for the slope at the images, which would be as much again
    assert gradients(network, shape).flops == 2 * forward
    last = keras.layers.Dense(1, use_bias=False)
    flat = keras.layers.Flatten()(network.outputs[0])
    deeper = keras.Model(network.inputs, last(flat))
    of_last = 2 * shape[0] * flat.shape[1]  # forward, back to its kernel, back to the layer below
    assert gradients(deeper, shape).flops == 2 * forward + 3 * of_last


def test_products_with_transposed_sides():
    left, right = tf.ones((7, 3)), tf.ones((5, 7))
    product = lambda x: tf.matmul(left, x, transpose_a=True)  # noqa: E731
    assert cost.of_call(product, (7, 2)).flops == 2 * 3 * 7 * 2
    product = lambda x: tf.matmul(x, right, transpose_b=True)  # noqa: E731
    assert cost.of_call(product, (2, 7)).flops == 2 * 2 * 7 * 5
    batched = lambda x: tf.matmul(x, x, adjoint_a=True)  # noqa: E731
    assert cost.of_call(batched, (4, 7, 3)).flops == 4 * 2 * 3 * 7 * 3


@pytest.mark.parametrize("steps", [28, 56])
def test_a_loop_counts_as_often_as_it_turns(steps):
    """An LSTM: products of inputs and states with their kernels; on the way back to the states
    and to both kernels, and not to the inputs."""
    batch, reads, units = 3, 5, 4
    lstm = keras.layers.LSTM(units)
    network = keras.Sequential([keras.Input((steps, reads)), lstm])
    of_inputs, of_states = 2 * batch * reads * 4 * units, 2 * batch * units * 4 * units
    shape = (batch, steps, reads)
    assert cost.of_call(network, shape).flops == steps * (of_inputs + of_states)
    assert gradients(network, shape).flops == steps * (2 * of_inputs + 3 * of_states)


def test_a_loop_turns_from_where_it_begins_to_where_it_ends():
    weights = tf.ones((4, 4))

    def some(x):
        more = lambda place, x: (place + 1, tf.matmul(x, weights))  # noqa: E731
        return tf.while_loop(lambda place, x: place < 9, more, (tf.constant(2), x))[1]

    assert cost.of_call(some, (3, 4)).flops == 7 * 2 * 3 * 4 * 4

    def forever(x):
        more = lambda x: tf.matmul(x, weights)  # noqa: E731
        return tf.while_loop(lambda x: tf.reduce_sum(x) < 9.0, more, (x,))[0]

    with pytest.raises(ValueError, match=r"how often the loop .* turns"):
        cost.of_call(forever, (3, 4))


def test_of_two_branches_the_dearer_counts():
    weights = tf.ones((4, 4))

    def one_or_none(x):
        product = lambda: tf.matmul(x, weights)  # noqa: E731
        return tf.cond(tf.reduce_sum(x) > 0, lambda: x, product)

    assert cost.of_call(one_or_none, (3, 4)).flops == 2 * 3 * 4 * 4


def test_what_nobody_needs_does_not_count_and_updates_do():
    weights, memory = tf.ones((4, 4)), tf.Variable(tf.zeros((3, 4)))

    def wasteful(x):
        tf.matmul(x, weights)
        memory.assign(tf.matmul(x, weights))
        return x + 1

    assert cost.of_call(wasteful, (3, 4)).flops == 2 * 3 * 4 * 4


@pytest.mark.parametrize(
    ("function", "shape", "kind"),
    [
        (lambda x: tf.einsum("ij,kj->ik", x, x), (3, 4), "Einsum"),
        (keras.layers.Conv3D(2, 3), (1, 5, 5, 5, 1), "Conv3D"),
        (keras.layers.DepthwiseConv2D(3), (1, 5, 5, 2), "DepthwiseConv2dNative"),
        (tf.linalg.inv, (3, 3), "MatrixInverse"),
        (lambda x: tf.switch_case(tf.cast(x[0], "int32"), [lambda: x] * 3), (3,), "Case"),
    ],
)
def test_what_no_rule_counts_is_an_error(function, shape, kind):
    if isinstance(function, keras.layers.Layer):
        function.build(shape)
    with pytest.raises(ValueError, match=f"no rule counts the arithmetic of .*{kind}"):
        cost.of_call(function, shape)


def test_unknown_sizes_are_an_error():
    with pytest.raises(ValueError, match=r"the shape of .* is not known"):
        cost.of_call(lambda x: tf.boolean_mask(x, x > 0) + 1, (5,))


def test_seconds_of_the_roofline_by_hand():
    machine = cost.Device("machine", float32=1e12, bandwidth=1e9, launch=1e-4, bfloat16=4e12)
    step = cost.Cost()
    step.kinds[2e9, 1e3, False] = 3  # arithmetic: 2 ms
    step.kinds[2e9, 1e3, True] = 3  # half a millisecond in bfloat16
    step.kinds[0.0, 5e6, False] = 2  # memory: 5 ms
    step.kinds[0.0, 8.0, False] = 10  # launches: 0.1 ms
    assert step.seconds(machine) == pytest.approx(3 * 2e-3 + 3 * 5e-4 + 2 * 5e-3 + 10 * 1e-4)
    assert step.operations == 18
    old = cost.Device("an old one", float32=1e12, bandwidth=1e9, launch=1e-4)
    with pytest.raises(ValueError, match="an old one is not made for bfloat16"):
        step.seconds(old)


def test_the_time_of_one_product_by_hand():
    """(64, 512) times (512, 256): its arithmetic, or both factors and the product in memory."""
    layer = keras.layers.Dense(256, use_bias=False)
    layer.build((64, 512))
    step = cost.of_call(layer, (64, 512))
    flops, moved = 2 * 64 * 512 * 256, FLOAT * (64 * 512 + 512 * 256 + 64 * 256)
    assert dict(step.kinds) == {(flops, moved, False): 1}
    slow = cost.Device("slow to compute", float32=1e9, bandwidth=1e12, launch=0)
    far = cost.Device("far from its memory", float32=1e15, bandwidth=1e9, launch=0)
    assert step.seconds(slow) == pytest.approx(flops / 1e9)
    assert step.seconds(far) == pytest.approx(moved / 1e9)


def test_bfloat16_is_told_apart_and_takes_half_the_memory():
    layer = keras.layers.Dense(256, use_bias=False, dtype="mixed_bfloat16")
    layer.build((64, 512))
    kinds = cost.of_call(layer, (64, 512)).kinds
    flops = 2 * 64 * 512 * 256
    assert kinds[flops, 2 * (64 * 512 + 512 * 256 + 64 * 256), True] == 1


def test_memory_of_a_chain_by_hand():
    """Forward alone, two neighbors' outputs are there at once; for the slopes, all of them."""
    batch, units, depth = 1000, 50, 3
    layers = [keras.layers.Dense(units, use_bias=False) for _ in range(depth)]
    network = keras.Sequential([keras.Input((units,)), *layers])
    maps, kernel = FLOAT * batch * units, FLOAT * units * units
    shape = (batch, units)
    assert cost.of_call(network, shape).peak_bytes == 2 * maps
    # on the way back, at the last layer: the outputs of the two below, the slopes at its own
    # output and at its input, and the first slope of a kernel; a sum's four bytes besides
    assert gradients(network, shape).peak_bytes == pytest.approx(4 * maps + kernel, abs=100)


def test_a_loop_keeps_what_the_way_back_needs():
    def peak(steps):
        network = keras.Sequential([keras.Input((steps, 50)), keras.layers.LSTM(50)])
        return gradients(network, (1000, steps, 50)).peak_bytes

    state = FLOAT * 1000 * 50
    more = (peak(60) - peak(30)) / 30  # bytes a step
    # at least four gates, the old cell and its tanh; at most each of some twenty intermediates
    assert 6 * state < more < 20 * state


def test_weights_and_moments_are_there_all_the_time():
    config = gan.Config.points()
    networks = gan.build_generator(config), gan.build_discriminator(config)
    weights = FLOAT * sum(network.count_params() for network in networks)
    drawn = FLOAT * networks[0].count_params()

    def peak(optimizer, **rules):
        model = training.AdversarialModel(*networks)
        model.compile(optimizer(0.1), optimizer(0.1), **rules)
        return cost.of_step(model, (64, 2)).peak_bytes

    plain = peak(keras.optimizers.SGD)
    assert weights < plain
    # Adam has two moments of each weight, but also a moment of work: hence not to the byte
    assert peak(keras.optimizers.Adam) - plain == pytest.approx(2 * weights, rel=0.2)
    assert peak(keras.optimizers.SGD, ema_decay=0.9) - plain == pytest.approx(drawn, rel=0.2)
