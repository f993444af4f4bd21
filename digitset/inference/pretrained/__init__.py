"""The trained models that come with the package, each in the folder TASK/MODEL as `digitset publish` writes it.

`uv run benchmarks/trained.py` makes them, from the recipes.
"""

from pathlib import Path

from digitset import recipes
from digitset.errors import InputError
from digitset.run_folder import PUBLISHED

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """TASK/MODEL of each, the best of a task first."""
    return [name for name in recipes.PACKAGED if (FOLDER / name).is_dir()]


def find(name: str) -> Path | None:
    """The folder of TASK/MODEL, or of the best model of TASK; None if there is none of this name.

    Raises InputError if the model is not whole: another is never taken for it.
    """
    matching = [known for known in names() if name in (known, known.split("/")[0])]
    if not matching:
        return None
    folder = FOLDER / matching[0]
    for file in PUBLISHED:
        if not (folder / file).is_file():
            raise InputError(f"{folder}: {file} of a packaged model is missing; install the package again")
    return folder
