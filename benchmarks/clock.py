"""Timing that holds on a shared machine: contestants take turns, and each one's best is kept.

Whatever else runs on the machine can only slow a contestant down, often by half for some seconds,
as if a core were gone. So the rounds are many and short, and the fastest round is what a program
can do; how far the median lies above it tells how quiet the machine was. The machine's own rates,
of which a step uses a share, are contestants of the same rounds.
"""

import os
import platform
import time

import numpy as np
import tensorflow as tf

from benchmarks.cost import Device

SIDE = 1024  # of the square matrices whose product is the yardstick
PRODUCT = 2.0 * SIDE**3  # their multiplications and additions
LARGE = 2**24  # numbers, 64 MiB: far more than a cache holds


def take_turns(contestants, rounds, seconds=0.5):
    """Return {name: seconds a unit, one for each round} of functions `run(count)`.

    `run(count)` does a unit of work, such as a training step, `count` times. Each is called twice
    before the rounds, to compile and to see how many units take about `seconds`. Where it has an
    attribute `at_once`, the count is a multiple of that.
    """
    times, counts = {name: [] for name in contestants}, {}
    for name, run in contestants.items():
        few = getattr(run, "at_once", 1)
        run(few)
        start = time.perf_counter()
        run(few)
        counts[name] = few * max(1, round(seconds / (time.perf_counter() - start)))
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run(counts[name])
            times[name].append((time.perf_counter() - start) / counts[name])
    return {name: np.array(row) for name, row in times.items()}


def again(function):
    """Return `run(count)` for a function without arguments."""

    def run(count):
        for _ in range(count):
            function()

    return run


def best(seconds):
    """Return (the fewest seconds, how many times that the median is)."""
    return float(np.min(seconds)), float(np.median(seconds) / np.min(seconds))


def yardsticks():
    """Return contestants whose seconds give the machine's rates, see `device`."""
    square = tf.random.stateless_normal((SIDE, SIDE), seed=(0, 1))
    large, ones = tf.Variable(tf.zeros((LARGE,))), tf.ones((LARGE,))
    small = tf.zeros(())
    product = tf.function(lambda: tf.linalg.matmul(square, square))

    @tf.function
    def pass_over():
        large.assign_add(ones)  # in place: new memory costs more than the traffic into it

    # in a chain nothing runs beside anything else, as in a step that waits for its parts
    chain = tf.function(lambda x: tf.foldl(lambda a, _: tf.sin(a), tf.range(1000), initializer=x))
    return {
        # one number is fetched, to wait for the rest: a copy of all would be on the clock
        "matmul": again(lambda: product()[0, 0].numpy()),
        "bandwidth": again(lambda: (pass_over(), large[0].numpy())),
        "launch": again(lambda: chain(small).numpy()),
    }


def device(seconds, name="this machine"):
    """Return the `Device` of a {yardstick: seconds}.

    Two numbers are read and one is written for each of the long array; the chain takes some six
    operations a turn: the sine, two additions, a comparison and what the loop does.
    """
    return Device(
        name=name,
        float32=PRODUCT / seconds["matmul"],
        bandwidth=12.0 * LARGE / seconds["bandwidth"],
        launch=seconds["launch"] / 6000,
    )


def describe():
    """Return {what: text} of this machine and the programs that were timed."""
    import keras

    model = platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    gpus = tf.config.list_physical_devices("GPU")
    return {
        "Processor": f"{model}, {cores()} cores used",
        "GPU": ", ".join(map(_gpu_name, gpus)) or "none",
        "Memory": f"{_memory():.0f} GiB",
        "System": platform.system(),
        "Python": platform.python_version(),
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
        "PyTorch": torch_version() or "not installed",
    }


def cores():
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def torch_version():
    """Return PyTorch's version, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    return torch.__version__


def _gpu_name(gpu):
    return tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)


def _memory():
    if not hasattr(os, "sysconf"):
        return float("nan")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
