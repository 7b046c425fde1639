"""What a training step costs, counted from its graph: arithmetic, memory traffic, peak memory.

A step is traced, not run: sizes that no machine here could train can be counted. Loops count as
often as they turn; what no result needs does not count, as TensorFlow leaves it out. The time of
an operation on a device is the longest of three: its arithmetic at the device's rate, its inputs
and outputs through the device's memory, and one launch (the roofline of Williams, Waterman and
Patterson, Communications of the ACM 52(4), 2009, plus the launch).
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field

import tensorflow as tf

# They move no data: names for what is there, or known before the step.
FREE = {
    "Const",
    "EmptyTensorList",
    "ExpandDims",
    "Identity",
    "IdentityN",
    "NoOp",
    "Placeholder",
    "ReadVariableOp",
    "Reshape",
    "Shape",
    "ShapeN",
    "Squeeze",
    "StopGradient",
    "TensorListGetItem",  # a list holds the tensors themselves
    "TensorListPopBack",
    "TensorListPushBack",
    "TensorListReserve",
    "TensorListSetItem",
    "VariableShape",
}
RENAMED = {"ExpandDims", "Identity", "IdentityN", "Reshape", "Squeeze", "StopGradient"}
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
LOOPS = ("While", "StatelessWhile")
BRANCHES = ("If", "StatelessIf")
BODIES = {"If": ("then_branch", "else_branch"), "StatelessIf": ("then_branch", "else_branch")}
BODIES |= dict.fromkeys(CALLS, ("f",)) | dict.fromkeys(LOOPS, ("body",))
# What multiplies in a way that no rule here counts begins so.
UNCOUNTED = ("Conv", "Depthwise", "Einsum", "Cudnn", "Cholesky", "Svd", "Qr", "FFT", "SelfAdjoint")
UNCOUNTED += (
    "MatrixInverse",
    "MatrixSolve",
    "MatrixTriangular",
    "SparseMatMul",
    "SparseTensorDense",
)
UNCOUNTED += ("_Mkl", "_Fused", "Xla")


@dataclass(frozen=True)
class Device:
    """Rates of a machine: what programs reach, which is less than its data sheet says."""

    name: str
    float32: float  # floating-point operations a second, in convolutions and matrix products
    bandwidth: float  # bytes a second
    launch: float  # seconds that the smallest operation takes
    bfloat16: float = 0.0  # as `float32`; 0 where the machine is not made for it
    memory: float = math.inf  # bytes


@dataclass
class Cost:
    """Of one step: `flops` of products and convolutions, operations, bytes at the fullest moment.

    `kinds` maps (flops, bytes moved, whether in bfloat16) to how many such operations there are.
    """

    flops: float = 0.0
    peak_bytes: float = 0.0
    kinds: dict = field(default_factory=lambda: defaultdict(float))

    @property
    def operations(self):
        return sum(self.kinds.values())

    def seconds(self, device):
        """Return the roofline's seconds on a device, one operation after another."""
        total = 0.0
        for (flops, moved, half), times in self.kinds.items():
            rate = device.bfloat16 if half else device.float32
            if flops and not rate:
                raise ValueError(f"{device.name} is not made for bfloat16; count the float32 step")
            arithmetic = flops / rate if flops else 0.0
            total += times * max(arithmetic, moved / device.bandwidth, device.launch)
        return total

    def include(self, other, times=1.0):
        """Add `times` runs of another Cost; the fullest moment stays this one's."""
        self.flops += times * other.flops
        for kind, count in other.kinds.items():
            self.kinds[kind] += times * count


def of_step(model, *shapes):
    """Return the Cost of a compiled model's `train_step` on a batch of such arrays.

    Shapes include the batch's size and mean float32; a tf.TensorSpec tells another type. With
    several, the batch is a tuple, as conditional games take it.
    """
    specs = tuple(s if isinstance(s, tf.TensorSpec) else tf.TensorSpec(s) for s in shapes)
    batch = specs[0] if len(specs) == 1 else specs
    traced = tf.function(model.train_step, autograph=False).get_concrete_function(batch)
    cost = of_graph(traced.graph)
    # weights, the optimizers' moments and averages are there all the time
    optimizers = model.optimizers() if hasattr(model, "optimizers") else [model.optimizer]
    moments = [variable for optimizer in optimizers for variable in optimizer.variables]
    kept = {id(variable): variable for variable in [*model.variables, *moments]}
    cost.peak_bytes += sum(_size(v.shape, v.dtype) for v in kept.values())
    return cost


def of_call(function, *shapes):
    """Return the Cost of one call of a function or a model, say a sampler's."""
    specs = [tf.TensorSpec(shape) for shape in shapes]
    return of_graph(tf.function(function).get_concrete_function(*specs).graph)


def of_graph(graph):
    """Return the Cost of a graph whose shapes are all known."""
    cost = Cost(peak_bytes=_peak(graph))
    for operation in needed(graph):
        if operation.type in BODIES:
            bodies = [of_graph(body) for body in _bodies(graph, operation)]
            dearest = max(bodies, key=lambda body: (body.flops, body.operations))
            cost.include(dearest, turns(graph, operation) if operation.type in LOOPS else 1.0)
        elif operation.type not in FREE:
            flops = products(operation)
            moved = sum(map(_bytes, operation.inputs)) + sum(map(_bytes, operation.outputs))
            half = any(tensor.dtype == tf.bfloat16 for tensor in operation.inputs)
            cost.flops += flops
            cost.kinds[flops, moved, half] += 1.0
    return cost


def needed(graph):
    """Return a graph's operations, in order, without those that no result and no update needs.

    A gradient's graph is full of them: the slope at the images, though only the weights move.
    """
    waiting = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    found = set()
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found.add(operation.name)
            waiting += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
    return [operation for operation in graph.get_operations() if operation.name in found]


def _bodies(graph, operation):
    names = (operation.get_attr(attribute).name for attribute in BODIES[operation.type])
    return [graph._get_function(name).graph for name in names]


def turns(graph, loop):
    """Return how often a loop turns: from where its counters begin to the nearest bound.

    The counters of Keras and TensorFlow go up by 1. ValueError where no bound is known.
    """
    condition = graph._get_function(loop.get_attr("cond").name).graph
    places = {tensor.name: place for place, tensor in enumerate(condition.inputs)}
    counts = []
    for operation in condition.get_operations():
        if operation.type in ("Less", "Greater"):
            counter, bound = operation.inputs[:: 1 if operation.type == "Less" else -1]
            ends = [_known(graph, loop, tensor, places) for tensor in (counter, bound)]
            if None not in ends:
                counts.append(max(ends[1] - ends[0], 0.0))
    if not counts:
        raise ValueError(f"cannot tell how often the loop {loop.name} turns")
    return min(counts)


def _known(graph, loop, tensor, places):
    """What a tensor in a loop's condition is at first, or the turns of the loop that counted it."""
    value = tf.get_static_value(tensor)
    if value is None and tensor.name in places:
        given = loop.inputs[places[tensor.name]]
        while given.op.type == "Identity":
            given = given.op.inputs[0]
        value = tf.get_static_value(given)
        if value is None and given.op.type in LOOPS:  # a gradient's loop goes back as far
            return turns(graph, given.op)
    return None if value is None else float(value)


def products(operation):
    """Return an operation's multiplications and additions, if it is a product or a convolution."""
    kind = operation.type
    shape = lambda tensor: _shape(tensor, operation)  # noqa: E731
    if kind == "MatMul":
        rows, columns = shape(operation.outputs[0])
        first = shape(operation.inputs[0])
        return 2.0 * rows * columns * first[0 if operation.get_attr("transpose_a") else 1]
    if kind.startswith("BatchMatMul"):
        first = shape(operation.inputs[0])
        inner = first[-2 if operation.get_attr("adj_x") else -1]
        return 2.0 * math.prod(shape(operation.outputs[0])) * inner
    if kind == "Conv2D":
        maps, kernel = shape(operation.outputs[0]), shape(operation.inputs[1])
    elif kind == "Conv2DBackpropInput":  # also the transposed convolution
        maps, kernel = shape(operation.inputs[2]), shape(operation.inputs[1])
    elif kind == "Conv2DBackpropFilter":
        maps, kernel = shape(operation.inputs[2]), shape(operation.outputs[0])
    elif kind.startswith(UNCOUNTED) or _calls(operation):
        raise ValueError(f"no rule counts the arithmetic of {kind} ({operation.name})")
    else:
        return 0.0
    # each of the smaller maps' numbers is a sum over the kernel and its input channels
    return 2.0 * math.prod(maps) * math.prod(kernel[:3])


def _calls(operation):
    """Whether an operation runs a function, which nobody has looked into."""
    return any(attribute.type.endswith(("func", "func)")) for attribute in operation.op_def.attr)


def _peak(graph):
    """Bytes at the fullest moment, if each tensor lives from its operation to its last reader.

    Results live to the end; so does what a loop keeps for the way back.
    """
    operations = needed(graph)
    until, size = {}, {}  # of each buffer; a reshaped tensor is its source's buffer

    def buffer(tensor):
        while tensor.op.type in RENAMED:
            tensor = tensor.op.inputs[tensor.value_index if tensor.op.type == "IdentityN" else 0]
        return tensor.name

    for place, operation in enumerate(operations):
        if operation.type not in FREE:
            for tensor in operation.outputs:
                size[tensor.name], until[tensor.name] = _bytes(tensor), place
        for name in map(buffer, operation.inputs):
            if name in until:
                until[name] = place
    for name in map(buffer, graph.outputs):
        if name in until:
            until[name] = len(operations)
    ends = defaultdict(float)
    for name, place in until.items():
        ends[place] += size[name]
    live = largest = 0.0
    for place, operation in enumerate(operations):
        if operation.type in LOOPS:
            live += _kept(graph, operation)
        if operation.type in BODIES:  # their results are theirs until they end
            inner = max(_peak(body) for body in _bodies(graph, operation))
            largest = max(largest, live + inner)
        live += sum(size.get(tensor.name, 0.0) for tensor in operation.outputs)
        largest = max(largest, live)
        live -= ends[place]
    return largest


def _kept(graph, loop):
    """Bytes that a loop puts into its lists, for its gradient or as its result."""
    (body,) = _bodies(graph, loop)
    puts = [o for o in needed(body) if o.type in ("TensorListPushBack", "TensorListSetItem")]
    return turns(graph, loop) * sum(_bytes(operation.inputs[-1]) for operation in puts)


def _shape(tensor, operation):
    if not tensor.shape.is_fully_defined():
        raise ValueError(f"the shape of {tensor.name} is not known in {operation.name}")
    return tensor.shape.as_list()


def _bytes(tensor):
    if tensor.dtype in (tf.resource, tf.variant, tf.string):
        return 0.0
    if not tensor.shape.is_fully_defined():
        small = tensor.dtype.is_integer  # shapes and axes
        if small or tensor.op.type == "FusedBatchNormV3":  # what cuDNN may keep for itself
            return 0.0
    return _size(_shape(tensor, tensor.op), tensor.dtype)


def _size(shape, dtype):
    return float(math.prod(shape)) * tf.as_dtype(dtype).size
