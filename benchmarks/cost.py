"""What a training step costs, counted from its graph: arithmetic, memory traffic, peak memory.

A step is traced, not run: sizes that no machine here could train can be counted. Loops count as
often as they turn. An operation's time on a device is the longest of three: its arithmetic at the
device's rate, its inputs and outputs through the device's memory, and one launch (the roofline of
Williams, Waterman and Patterson, Communications of the ACM 52(4), 2009, plus the launch).
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field

import tensorflow as tf

# They move no data: names for what is there, or known before the step.
FREE = {
    "Const",
    "Identity",
    "IdentityN",
    "NoOp",
    "Placeholder",
    "ReadVariableOp",
    "Reshape",
    "Shape",
    "ShapeN",
    "Squeeze",
    "ExpandDims",
    "StopGradient",
    "VariableShape",
}
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
LOOPS = ("While", "StatelessWhile")
BRANCHES = ("If", "StatelessIf")


@dataclass(frozen=True)
class Device:
    """Rates of a machine; `float32` and `bandwidth` are what real programs reach, not the sheet."""

    name: str
    float32: float  # floating-point operations a second, in convolutions and matrix products
    bandwidth: float  # bytes a second
    launch: float  # seconds that the smallest operation takes
    memory: float = math.inf  # bytes


@dataclass
class Cost:
    """Of one step: `flops` of products and convolutions, operations, bytes at the fullest moment.

    `kinds` maps (flops, bytes moved) of one operation to how many such operations a step has.
    """

    flops: float = 0.0
    peak_bytes: float = 0.0
    kinds: dict = field(default_factory=lambda: defaultdict(float))

    @property
    def operations(self):
        return sum(self.kinds.values())

    def seconds(self, device):
        """Return the roofline's seconds on a device, one operation after another."""
        return sum(
            times * max(flops / device.float32, moved / device.bandwidth, device.launch)
            for (flops, moved), times in self.kinds.items()
        )


def of_step(model, *shapes, dtypes=None):
    """Return the Cost of a compiled model's `train_step` on a batch of such arrays.

    `shapes` include the batch; with several, the batch is a tuple, as conditional games take it.
    """
    dtypes = dtypes or ["float32"] * len(shapes)
    specs = tuple(tf.TensorSpec(s, d) for s, d in zip(shapes, dtypes, strict=True))
    batch = specs[0] if len(specs) == 1 else specs
    traced = tf.function(model.train_step).get_concrete_function(batch)
    cost = of_graph(traced.graph)
    # weights, optimizers' moments and averages are there all the time
    kept = {id(v): v for v in [*model.variables, *_optimizer_variables(model)]}
    cost.peak_bytes += sum(_size(v.shape, v.dtype) for v in kept.values())
    return cost


def _optimizer_variables(model):
    return [variable for optimizer in model.optimizers() for variable in optimizer.variables]


def of_call(function, *shapes):
    """Return the Cost of one call of a function or a model, say a sampler's."""
    specs = [tf.TensorSpec(shape, "float32") for shape in shapes]
    return of_graph(tf.function(function).get_concrete_function(*specs).graph)


def of_graph(graph):
    """Return the Cost of a graph whose shapes are all known."""
    cost = Cost()
    _add(graph, 1.0, cost)
    cost.peak_bytes = _peak(graph)
    return cost


def _add(graph, times, cost):
    for operation in graph.get_operations():
        if operation.type in CALLS:
            _add(_function(graph, operation, "f"), times, cost)
        elif operation.type in LOOPS:
            _add(_function(graph, operation, "body"), times * turns(graph, operation), cost)
        elif operation.type in BRANCHES:
            _add(_function(graph, operation, "then_branch"), times, cost)
        elif operation.type not in FREE:
            flops = products(operation)
            moved = sum(map(_bytes, operation.inputs)) + sum(map(_bytes, operation.outputs))
            cost.flops += times * flops
            cost.kinds[flops, moved] += times


def _function(graph, operation, attribute):
    return graph._get_function(operation.get_attr(attribute).name).graph


def turns(graph, loop):
    """Return how often a loop turns: the smallest bound that its condition compares with."""
    condition = _function(graph, loop, "cond")
    places = {tensor.name: place for place, tensor in enumerate(condition.inputs)}
    bounds = []
    for operation in condition.get_operations():
        if operation.type not in ("Less", "Greater"):
            continue
        bound = operation.inputs[1 if operation.type == "Less" else 0]
        bounds.append(_known(graph, loop, bound, places))
    bounds = [bound for bound in bounds if bound is not None]
    if not bounds:
        raise ValueError(f"cannot tell how often the loop {loop.name} turns")
    return min(bounds)


def _known(graph, loop, tensor, places):
    """The value of a tensor in a loop's condition, or the turns of the loop that it counted."""
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
    elif kind.startswith(("Conv", "DepthwiseConv", "Einsum")):
        raise ValueError(f"no rule counts the arithmetic of {kind} ({operation.name})")
    else:
        return 0.0
    # each of the smaller maps' numbers is a sum over the kernel and its input channels
    return 2.0 * math.prod(maps) * math.prod(kernel[:3])


def _peak(graph):
    """Bytes at the fullest moment, if each tensor lives from its operation to its last reader.

    What a loop keeps for the way back is counted as living from the loop to the end.
    """
    operations = graph.get_operations()
    order = {operation.name: place for place, operation in enumerate(operations)}
    until, size = {}, {}  # of each buffer; a reshaped tensor is its source's buffer

    def buffer(tensor):
        while tensor.op.type in FREE and tensor.op.inputs and tensor.dtype != tf.resource:
            if tensor.op.type == "ReadVariableOp":
                return None  # the weights are counted apart
            tensor = tensor.op.inputs[0]
        return tensor.name

    for operation in operations:
        place = order[operation.name]
        if operation.type not in FREE:
            for tensor in operation.outputs:
                size[tensor.name] = _bytes(tensor)
                until[tensor.name] = place
        for tensor in operation.inputs:
            name = buffer(tensor)
            if name in until:
                until[name] = place
    ends = defaultdict(float)
    live = largest = 0.0
    for name, place in until.items():
        ends[place] += size[name]
    for place, operation in enumerate(operations):
        if operation.type in LOOPS:
            live += _kept(graph, operation)
        live += sum(size[t.name] for t in operation.outputs if t.name in size)
        inner = 0.0
        if operation.type in CALLS:
            inner = _peak(_function(graph, operation, "f"))
        elif operation.type in LOOPS:
            inner = _peak(_function(graph, operation, "body"))
        elif operation.type in BRANCHES:
            inner = _peak(_function(graph, operation, "then_branch"))
        largest = max(largest, live + inner)
        live -= ends[place]
    return largest


def _kept(graph, loop):
    """Bytes that a loop pushes onto its lists, for its gradient or as its result."""
    body = _function(graph, loop, "body")
    pushes = [o for o in body.get_operations() if o.type.startswith("TensorList")]
    pushes = [o for o in pushes if o.type in ("TensorListPushBack", "TensorListSetItem")]
    return turns(graph, loop) * sum(_bytes(operation.inputs[-1]) for operation in pushes)


def _shape(tensor, operation):
    if not tensor.shape.is_fully_defined():
        raise ValueError(f"the shape of {tensor.name} is not known in {operation.name}")
    return tensor.shape.as_list()


def _bytes(tensor):
    if tensor.dtype in (tf.resource, tf.variant, tf.string) or not tensor.shape.is_fully_defined():
        return 0.0
    return _size(tensor.shape, tensor.dtype)


def _size(shape, dtype):
    return float(math.prod(shape)) * tf.as_dtype(dtype).size
