"""Say which GPUs TensorFlow sees and compute on each; without one, say what it saw and stop.

`make gpu-check` runs this before the lessons at the gpu budget: without a GPU they would run on the
processor, for weeks.
"""

import os
import shutil
import subprocess
import sys


def driver_lines():
    """Return what nvidia-smi says of each GPU: name, memory, driver; or why it says nothing."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ["there is no nvidia-smi here, so probably no NVIDIA driver"]
    command = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return ["nvidia-smi gave no answer within a minute"]
    return (result.stdout + result.stderr).strip().splitlines() or ["nvidia-smi printed nothing"]


def none_seen(tf, driver):
    """Return what to say where TensorFlow sees no GPU."""
    seen = ", ".join(device.name for device in tf.config.list_physical_devices()) or "nothing"
    build = tf.sysconfig.get_build_info()
    if build.get("is_cuda_build"):
        wants = f"wants CUDA {build.get('cuda_version')}, cuDNN {build.get('cudnn_version')}"
    else:
        wants = "is built without CUDA"
    return (
        f"TensorFlow sees no GPU, it sees {seen}. TensorFlow {tf.__version__} {wants}; "
        f"the driver says: {'; '.join(driver)}. Install the driver and 'make setup-gpu'; what "
        "TensorFlow prints above names a library that it did not find."
    )


def compute(tf, name):
    """Multiply and convolve ones on a device; raise RuntimeError where the sums are wrong."""
    with tf.device(name):
        product = tf.matmul(tf.ones((64, 64)), tf.ones((64, 64)))
        convolved = tf.nn.conv2d(tf.ones((1, 8, 8, 8)), tf.ones((3, 3, 8, 4)), 1, "VALID")
    for what, array, expected in (("product", product, 64), ("convolution", convolved, 72)):
        if not (array.numpy() == expected).all():
            raise RuntimeError(
                f"a {what} of ones on {name} gave {array.numpy().ravel()[:4]}, "
                f"expected {expected} everywhere"
            )


def describe(tf, gpus):
    """Return one line for each GPU: TensorFlow's name, the card's name, its compute capability."""
    lines = []
    for gpu in gpus:
        details = tf.config.experimental.get_device_details(gpu)
        capability = ".".join(map(str, details.get("compute_capability", ()))) or "unknown"
        card = details.get("device_name", "a GPU without a name")
        lines.append(f"{gpu.name}: {card}, compute capability {capability}")
    return lines


def main():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"  # else TensorFlow keeps to itself what it misses
    import tensorflow as tf

    driver = driver_lines()
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        sys.exit(none_seen(tf, driver))
    print("\n".join(describe(tf, gpus)))
    print("\n".join(f"driver: {line}" for line in driver))
    for number in range(len(gpus)):
        compute(tf, f"/GPU:{number}")
    print("each of them multiplies and convolves")


if __name__ == "__main__":
    main()
