"""The trained models that come with the package, each in the folder TASK/MODEL as `digitset publish` writes it.

`uv run benchmarks/trained.py` makes them, from the recipes.
"""

from pathlib import Path

from digitset import recipes

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """TASK/MODEL of each, the best of a task first."""
    return [name for name in recipes.PACKAGED if (FOLDER / name / "model.json").is_file()]


def find(name: str) -> Path | None:
    """The folder of TASK/MODEL, or of the best model of TASK; None if there is none of this name."""
    matching = [known for known in names() if name in (known, known.split("/")[0])]
    return FOLDER / matching[0] if matching else None
