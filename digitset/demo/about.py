"""What the page says of a model, from what the model and the task declare: no name of either is looked at."""

import re
import sys

from digitset.inference.predictor import Predictor
from digitset.models import Attends, Model, ReadsDigits, SelfAttends
from digitset.tasks import Task


def about(predictor: Predictor) -> str:
    """How a model comes to its answer and what it learned from, in two or three sentences for a person."""
    return f"{_how(predictor)} {_learned(predictor)}"


def _how(predictor: Predictor) -> str:
    task, model, longest = predictor.task, predictor.network.model, predictor.network.longest
    if not model.uses_images:
        return "It answers from the number of images alone, and looks at none of them."
    if task.single_image:
        return "It reads one image at a time. Choose a tile to see its own answer."
    if longest is not None:
        row = "Anchor and images" if task.anchored else "The images"
        return f"{row} stand side by side in {longest} positions. Each position has weights of its own."
    if isinstance(model, ReadsDigits):
        return f"Each image gives ten probabilities; the rule of the task turns them into the answer.{_nameless(task)}"
    if isinstance(model, Attends):
        return _attention(task, model)
    return _first_line(model)


def _nameless(task: Task) -> str:
    """Why the digits of a model that reads digits cannot be shown, if so."""
    return " Renaming the digits changes no answer, so here they have no names." * task.label_invariant


def _attention(task: Task, model: Attends) -> str:
    if task.anchored:
        return "The anchor attends to the images: the thicker a line, the more it looks there."
    if isinstance(model, SelfAttends):
        return "The images attend to each other. Point at a tile to see where it looks."
    return "It attends to the images: the longer the line under a tile, the more it looks there."


def _first_line(model: Model) -> str:
    """The first line of the model's file, without the name that stands before it, papers and marks of code."""
    line = (sys.modules[type(model).__module__].__doc__ or "").partition("\n")[0].partition(": ")[2]
    plain = re.sub(r" \([^)]*\)|`", "", line)
    return plain[:1].upper() + plain[1:]


def _learned(predictor: Predictor) -> str:
    task, (shortest, longest) = predictor.task, predictor.experiment.lengths
    answers = "yes-or-no answers" if task.kind == "binary" else "the right answers"
    if task.single_image:
        return f"It learned from {answers} alone."
    images = f"{shortest} to {longest} images" if shortest < longest else f"{longest} image{'s' * (longest > 1)}"
    more = " and takes any number of them" if predictor.network.longest is None else " and takes no more"
    return f"It learned from {answers} to {images},{more}."
