"""The trained models that come with the package, each in the folder TASK/MODEL as `digitset publish` writes it.

`uv run benchmarks/trained.py` makes them, from the recipes, and `uv run benchmarks/any_hand.py` those for people's own
pictures.
"""

from dataclasses import dataclass
from pathlib import Path

from digitset import recipes
from digitset.errors import InputError
from digitset.evaluation.evaluate import version
from digitset.run import Run
from digitset.run_folder import PUBLISHED, RunFolder
from digitset.tasks import load_task

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class PackagedModel:
    """A trained model that comes with the package; `digitset.load(model.name)` gives it."""

    name: str
    """TASK/MODEL."""
    task: str
    model: str
    encoder: str
    accuracy: float | None
    """On the first evaluation set of test images."""
    parameters: int
    bytes: int
    """Size of the weights."""


def packaged_models() -> list[PackagedModel]:
    """The trained models in the package, the best of a task first."""
    models: list[PackagedModel] = []
    for name in names():
        run_folder = RunFolder(FOLDER / name)
        run = run_folder.run()
        scores = run_folder.scores(version(load_task(run.task))) or {}
        accuracy = next((of_set.accuracy for of_set in scores.values()), None)
        size = (run_folder.path / "model.safetensors").stat().st_size
        parameters = run_folder.summary().parameters
        models.append(PackagedModel(name, run.task, run.model, run.encoder, accuracy, parameters, size))
    return models


def names() -> list[str]:
    """TASK/MODEL of each, the best of a task first."""
    every = (*recipes.PACKAGED, *recipes.FOR_PICTURES)
    return [name for name in every if (FOLDER / name).is_dir()]


def for_pictures(name: str) -> str:
    """The model to ask about people's own pictures where `name` is a task that has such a model; else `name`."""
    return next((known for known in names() if known in recipes.FOR_PICTURES and known.split("/")[0] == name), name)


def names_for_pictures() -> list[str]:
    """`names`; where a model was trained on for people's own pictures, that one alone, in the place of the first."""
    known = names()
    trained_on = {_parts(recipes.FOR_PICTURES[name]): name for name in known if name in recipes.FOR_PICTURES}
    return [trained_on.get(_parts(recipes.PACKAGED[name]), name) for name in known if name in recipes.PACKAGED]


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


def _parts(run: Run) -> tuple[str, str, str]:
    return run.task, run.model, run.encoder
