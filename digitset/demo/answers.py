"""Questions of the service to the models behind it, and what they say as plain values."""

import math
import time
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from digitset.demo.schema import EXPLAINED, Answer, Model, Question, pixels
from digitset.errors import InputError
from digitset.explain import LEVEL, explain
from digitset.predict import Predictor
from digitset.probability import interval
from digitset.tasks import probabilities


def describe(name: str, predictor: Predictor, default: bool) -> Model:
    """What a program or the page has to know of a model before it asks."""
    task, model = predictor.task, predictor.network.model
    return Model(
        name=name,
        task=predictor.run.task,
        question=task.QUESTION,
        model=predictor.run.model,
        encoder=predictor.run.encoder,
        parameters=predictor.network.parameter_count(),
        anchored=task.ANCHORED,
        longest=1 if task.LENGTHS == (1, 1) else predictor.network.longest,
        kind="quantity" if not task.DISCRETE else "yes or no" if task.answers(1) == 2 else "digit",
        distribution=model.output == "distribution" or task.DISCRETE,
        attention=hasattr(model, "attention"),
        posteriors=hasattr(model, "posteriors") and not task.NAMELESS,
        default=default,
    )


def ask(predictor: Predictor, question: Question) -> Answer:
    """The answer. Raises InputError for a question that this model does not take."""
    start = time.perf_counter()
    if predictor.task.LENGTHS == (1, 1) and len(question.images) > 1:
        raise InputError(f"task '{predictor.run.task}' is about one image, got {len(question.images)}; ask one by one")
    images = np.stack([pixels(image) for image in question.images])
    anchor = None if question.anchor is None else pixels(question.anchor)
    values = _explained(predictor, images, anchor) if question.explain else _plain(predictor, images, anchor)
    return Answer(**_empty() | values, model=question.model, seconds=time.perf_counter() - start)


def _empty() -> dict[str, Any]:
    return {name: None for name in Answer.model_fields if name not in ("model", "seconds")}


def _explained(predictor: Predictor, images: np.ndarray, anchor: np.ndarray | None) -> dict[str, Any]:
    if len(images) > EXPLAINED:
        raise InputError(f"explanations are for up to {EXPLAINED} images, got {len(images)}; ask without 'explain'")
    found = explain(predictor, images, anchor)
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    if math.isnan(float(found.contributions[0])):
        values["contributions"] = None
    values["interval"] = None if found.interval is None else list(found.interval)
    return {name: value.tolist() if isinstance(value, Tensor) else value for name, value in values.items()}


@torch.inference_mode()
def _plain(predictor: Predictor, images: np.ndarray, anchor: np.ndarray | None) -> dict[str, Any]:
    """The answer and its distribution, without the answers to parts of the sequence that explain it."""
    network, task = predictor.network, predictor.task
    batch = predictor.batch([images], None if anchor is None else anchor[None])
    outputs = network.read(network.embed_in_parts(batch.images), batch).cpu()
    values: dict[str, Any] = {"answer": float(task.answer(task.read(outputs, network.model.output))[0])}
    distribution = probabilities(task, network.model.output, outputs)
    if distribution is not None:
        values |= {"distribution": distribution[0].tolist(), "certainty": float(distribution.max())}
        if not task.DISCRETE:
            low, high = interval(distribution, LEVEL)
            values["interval"] = [int(low), int(high)]
    return values
