"""Run the benchmarks, print their tables and keep the results for the book.

python -m benchmarks [--budget laptop] [--only steps sampling] [--output FOLDER]

The results go to FOLDER/results.json with the tables and plots made of them. What the book shows
stands elsewhere: tools/build_book.py measures it where it has no results of the present code yet.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

PARTS = ("steps", "quality", "sampling", "scaling", "gpu")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", choices=("smoke", "laptop", "gpu"), default="laptop")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--output", type=Path, default=Path("_build/bench_alone"))
    options = parser.parse_args()
    os.environ["GANVAE_BUDGET"] = options.budget  # before anything asks for it
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")

    import tensorflow as tf

    from benchmarks import clock, gpu, gpu_plans, quality, report, sampling, scaling, steps

    # Our `fit` rounds factors so where a GPU gains by it, as TensorFlow does unless told not to:
    # the other recipes and the yardstick must, too.
    tf.config.experimental.enable_tensor_float_32_execution(True)
    measures = {
        "steps": steps.measure,
        "quality": quality.measure,
        "sampling": sampling.measure,
        "scaling": scaling.measure,
        # counted, whatever the budget; at smoke a few, so that the page has its table
        "gpu": lambda: gpu.measure(gpu_plans.plans()[: 3 if few else None]),
    }
    few = options.budget == "smoke"
    start = time.perf_counter()
    results = {"budget": options.budget, "about": clock.describe()}
    for part in PARTS:
        if part in options.only:
            print(f"measuring: {part} …", file=sys.stderr, flush=True)
            results[part] = measures[part]()
    results["minutes"] = (time.perf_counter() - start) / 60
    options.output.mkdir(parents=True, exist_ok=True)
    partial = options.output / "results.json.partial"
    partial.write_text(json.dumps(results, indent=1), encoding="utf-8")
    partial.rename(options.output / "results.json")
    report.write(results, options.output)
    for name, text in report.tables(results).items():
        print(f"\n{report.TITLES[name]}\n\n{text}")
    print(f"\n{results['minutes']:.1f} minutes; tables and plots are in {options.output}")


if __name__ == "__main__":
    main()
