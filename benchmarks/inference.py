"""Answering: images and sequences a second, latency of one sequence, and memory up to 1,000 images in a sequence.

    uv run benchmarks/inference.py RUN [--out results/inference.csv]

RUN is the folder of a finished run. Times are medians. Memory is the most that the process had resident so far, above
the most that it had before the long sequences; those are views of the test images, so that they cost nothing.
"""

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro
from measure import Rows, expect_committed, median, show, start

import digitset
from digitset.inference.predictor import Predictor


def main(run: tyro.conf.Positional[Path], out: Path = Path("results/inference.csv"), many: int = 1_000) -> None:
    """Measures one run.

    Args:
        run: The folder of a finished run.
        out: The CSV to write.
        many: How many sequences of 1,000 images to answer in one call.
    """
    expect_committed(out)
    predictor = digitset.load(run)
    images = digitset.load_data(predictor.run.data, predictor.run.transpose).test.images.numpy()
    anchors = images if predictor.task.anchored else None
    longest = predictor.network.longest

    def answer(count: int, length: int) -> Callable[[], object]:
        starts = np.random.default_rng(0).integers(0, len(images) - length, count)
        sequences = [images[start : start + length] for start in starts]
        return lambda: predictor.predict(sequences, None if anchors is None else anchors[:count])

    rows = throughput(predictor, answer, images)
    if longest is None and predictor.task.lengths[1] > 1:
        answer(1, 10)()
        before = peak_memory()
        for length in (100, 1_000):
            seconds = median(answer(many, length), 1, warm=0)
            rows.append((f"{many:,} sequences of {length:,}: s", seconds))
            rows.append((f"{many:,} sequences of {length:,}: MiB above, so far", (peak_memory() - before) / 2**20))
    show(f"{predictor.run.task} {predictor.run.model}-{predictor.run.encoder}", rows, out)


def throughput(predictor: Predictor, answer: Callable[[int, int], Callable[[], object]], images: np.ndarray) -> Rows:
    """How fast images are encoded, and sequences of a usual length answered."""
    length = predictor.task.lengths[1]
    singles = [images[i : i + 1] for i in range(len(images))]
    rows = []
    if predictor.task.lengths[0] == 1 and not predictor.task.anchored:
        seconds = median(lambda: predictor.predict(singles), 5)
        rows.append((f"{len(images):,} images, each a sequence: s", seconds))
    seconds = median(answer(1_000, length), 5)
    rows += [(f"1,000 sequences of {length}: s", seconds), ("images a second", 1_000 * length / seconds)]
    rows.append((f"one sequence of {length}: ms", 1e3 * median(answer(1, length), 50)))
    return rows


def peak_memory() -> int:
    """Bytes, the most that this process has had resident so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    start(main)
