"""Makes the trained models that come with the package: `digitset/inference/pretrained/TASK/MODEL`, a folder each.

    uv run benchmarks/trained.py [--rows sum/exact sum/mlp] [--jobs 2]

Each is the recipe's run with seed 0, the same that `benchmarks/accuracy.py` makes and in the same folder, so that what
one of them has trained the other does not train again. Which seed is in the package was not chosen by any score.
Matrices and kernels are rounded to float16, as by `digitset publish --half`, and the scores are of the rounded model.
"""

from pathlib import Path

from accuracy import RUNS, console, make_all
from measure import known, start

from digitset import recipes
from digitset.inference import pretrained
from digitset.inference.publish import publish


def main(rows: tuple[str, ...] = tuple(recipes.PACKAGED), jobs: int = 2, out: Path = pretrained.FOLDER) -> None:
    """Trains, evaluates and publishes.

    Args:
        rows: TASK/MODEL, any that has a recipe for the package.
        jobs: How many runs at a time.
        out: The folder of the models.
    """
    known("--rows", rows, recipes.PACKAGED)
    for _ in make_all([recipes.PACKAGED[name] for name in rows], jobs):
        pass
    for name in rows:
        publish(RUNS / recipes.PACKAGED[name].name, out / name, name, half=True)
        console.print(f"{out / name}: {(out / name / 'model.safetensors').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    start(main)
