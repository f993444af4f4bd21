"""Questions of the service to the models behind it, and what they say as plain values."""

import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from digitset.demo.about import about
from digitset.demo.schema import EXPLAINED, Answer, Model, Places, Question, pixels
from digitset.encoders import LooksAtPlaces
from digitset.errors import InputError
from digitset.inference.explain import certainty_of, explain
from digitset.inference.predictor import Predictor
from digitset.models import Attends, ReadsDigits
from digitset.tasks import Task


def describe(name: str, predictor: Predictor, default: bool) -> Model:
    """What a program or the page has to know of a model before it asks."""
    task, model = predictor.task, predictor.network.model
    return Model(
        name=name,
        task=predictor.run.task,
        question=task.question,
        model=predictor.run.model,
        about=about(predictor),
        encoder=predictor.run.encoder,
        parameters=predictor.network.parameter_count(),
        anchored=task.anchored,
        single_image=task.single_image,
        longest=1 if task.single_image else predictor.network.longest,
        kind=task.kind,
        distribution=model.output_kind == "distribution" or task.kind != "quantity",
        attention=isinstance(model, Attends),
        places=model.uses_images and isinstance(predictor.network.encoder, LooksAtPlaces),
        digit_probabilities=isinstance(model, ReadsDigits) and not task.label_invariant,
        single_truths=_single_truths(task),
        default=default,
    )


def _single_truths(task: Task) -> list[list[int]]:
    """The right answers to one image alone: a column for each of its digits, a row for each digit of an anchor."""
    digits = torch.arange(10)[:, None]
    present = torch.ones_like(digits, dtype=torch.bool)
    anchors = [torch.full((10,), digit) for digit in range(10)] if task.anchored else [None]
    return [task.target(digits, present, anchor).int().tolist() for anchor in anchors]


def ask(predictor: Predictor, question: Question) -> Answer:
    """The answer. Raises InputError for a question that this model does not take."""
    start = time.perf_counter()
    truth = _truth(predictor.task, question)
    if predictor.task.single_image and len(question.images) > 1:
        raise InputError(f"task '{predictor.run.task}' is about one image, got {len(question.images)}; ask one by one")
    images = np.stack([pixels(image) for image in question.images])
    anchor = None if question.anchor is None else pixels(question.anchor)
    values = _explained(predictor, images, anchor) if question.explain else _plain(predictor, images, anchor)
    values |= {"model": question.model, "truth": truth, "seconds": time.perf_counter() - start}
    empty: dict[str, Any] = dict.fromkeys(Answer.model_fields)
    return Answer(**empty | values)


def _truth(task: Task, question: Question) -> int | None:
    """The answer that the task's rule gives for labels that the caller knows. Raises InputError for half of them."""
    labels, anchor_label = question.labels, question.anchor_label
    if anchor_label is not None and not task.anchored:
        raise InputError(f"anchor_label: task '{task.name}' takes no anchors")
    if labels is None and anchor_label is None:
        return None
    if labels is None or len(labels) != len(question.images):
        raise InputError(f"labels: expected one for each of {len(question.images)} images, got {len(labels or [])}")
    if task.anchored and anchor_label is None:
        raise InputError(f"anchor_label: task '{task.name}' needs it beside 'labels'")
    digits = torch.tensor([labels])
    anchor = None if anchor_label is None else torch.tensor([anchor_label])
    return int(task.target(digits, torch.ones_like(digits, dtype=torch.bool), anchor))


def _explained(predictor: Predictor, images: np.ndarray, anchor: np.ndarray | None) -> dict[str, Any]:
    if len(images) > EXPLAINED:
        raise InputError(f"explanations are for up to {EXPLAINED} images, got {len(images)}; ask without 'explain'")
    explanation = explain(predictor, images, anchor)
    values = vars(explanation).copy()
    if math.isnan(float(explanation.contributions[0])):
        values["contributions"] = None
    if explanation.places is not None:
        values["places"] = Places(**_as_lists(vars(explanation.places)))
    return _as_lists(values)


def _as_lists(values: dict[str, Any]) -> dict[str, Any]:
    """Values for JSON: what is a tensor or a tuple becomes a list."""
    values = {name: value.tolist() if isinstance(value, Tensor) else value for name, value in values.items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@torch.inference_mode()
def _plain(predictor: Predictor, images: np.ndarray, anchor: np.ndarray | None) -> dict[str, Any]:
    """The answer and its distribution, without the answers to parts of the sequence that explain it."""
    network, task = predictor.network, predictor.task
    batch = predictor.batch([images], None if anchor is None else anchor[None])
    output = network.apply_model(network.embed_in_parts(batch.images), batch).cpu()
    kind = network.model.output_kind
    distribution, certainty, interval = certainty_of(task, output[0], kind)
    return _as_lists(
        {
            "answer": float(task.answer(task.decode(output, kind))[0]),
            "distribution": distribution,
            "certainty": certainty,
            "interval": interval,
        }
    )
