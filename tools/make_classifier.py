"""Make ganvae_lessons/models/classifier.npz: the classifier's weights, from the embedded images.

Run it as `make classifier`; it trains for about half a minute on two cores, without a network,
and prints the accuracy on the embedded test images. The same versions on the same kind of
machine give the same weights.
"""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ganvae_lessons import data  # noqa: E402
from ganvae_lessons.models import classifier  # noqa: E402

TARGET = ROOT / "ganvae_lessons/models/classifier.npz"


def main():
    images, labels, _ = data.load("fashion_mnist")
    model = classifier.train(images, labels, verbose=2)
    arrays = {f"weight_{place}": array for place, array in enumerate(model.get_weights())}
    np.savez(TARGET, **arrays)
    test_images, test_labels, _ = data.load("fashion_mnist", "test")
    _, accuracy = model.evaluate(test_images, test_labels, verbose=0)
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1e3:.0f} kB, test accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
