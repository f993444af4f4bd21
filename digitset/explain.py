"""Why a trained network answers as it does: what each image adds, where attention looks, which digits are read."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from digitset.calibration import LEVEL
from digitset.network import rows_of
from digitset.predict import Images, Predictor
from digitset.probability import interval
from digitset.sequences import Batch
from digitset.tasks import Task, probabilities


@dataclass(frozen=True)
class Explanation:
    """Of one answer for n images, on the CPU. A field is None where the model or the task has no such thing."""

    answer: float
    """As `Predictor.predict` gives it: the digit, the sum, the probability of yes."""
    certainty: float | None
    """The probability that the model gives to what it answers: the class, the sum, yes or no."""
    distribution: Float32[Tensor, " A"] | None
    """The probabilities of all answers 0 .. A - 1."""
    interval: tuple[int, int] | None
    """Of a quantity with a distribution: what lies below it and what lies above have 5 % each, at most."""
    readings: Float32[Tensor, " n"]
    """The answer to each image alone, after the same anchor."""
    contributions: Float32[Tensor, " n"]
    """The answer to all images, less that to all but this one (leave one out); NaN for an image that is alone."""
    attention: Float32[Tensor, "H n"] | None
    """What each head gives to each image: from the anchor, or on average over the images that attend."""
    pairwise: Float32[Tensor, "H n n"] | None
    """Self-attention of the last layer, from each image (row) to each image."""
    rollout: Float32[Tensor, " n"] | None
    """How much of each image there is in what is read, through all layers (Abnar and Zuidema 2020): sums to 1."""
    posteriors: Float32[Tensor, "n 10"] | None
    """The probabilities of each image's digit, for a task that names digits."""


@torch.inference_mode()
def explain(predictor: Predictor, images: Images, anchor: Images | None = None) -> Explanation:
    """Explains the answer for one sequence: uint8 images [n, 28, 28], and [28, 28] as the anchor where there is one.

    Leaving each image out takes n answers for n - 1 images: for more than some hundred, minutes. Raises InputError as
    `Predictor.predict` does.
    """
    network, task = predictor.network, predictor.task
    whole = predictor.batch([images], None if anchor is None else anchor[None])
    vectors = network.embed_in_parts(whole.images)
    batch = _questions(whole)
    outputs = torch.cat(list(network.read_in_parts(vectors, batch))).cpu()
    reading = task.read(outputs, network.model.output)
    answers, n = task.answer(reading).float(), len(images)

    distribution = probabilities(task, network.model.output, outputs[:1])
    tokens, mask, anchors = rows_of(vectors, whole)
    attention = pairwise = rollout = posteriors = None
    if hasattr(network.model, "attention"):
        attention = network.model.attention(tokens, mask, anchors)[0].cpu()
    if hasattr(network.model, "self_attention"):
        layers = [layer[0].cpu() for layer in network.model.self_attention(tokens, mask)]
        pairwise = layers[-1] if layers else None
        rollout = _rollout(layers, attention.mean(dim=0) if task.ANCHORED and attention is not None else None)
    if hasattr(network.model, "posteriors") and not task.NAMELESS:
        posteriors = network.model.posteriors(tokens[0]).exp().cpu()
    between = None
    if distribution is not None and not task.DISCRETE:
        low, high = interval(distribution, LEVEL)
        between = (int(low), int(high))
    return Explanation(
        answer=float(answers[0]),
        certainty=None if distribution is None else float(distribution.max()),
        distribution=None if distribution is None else distribution[0],
        interval=between,
        readings=answers[1 : n + 1],
        contributions=answers[0] - answers[n + 1 :] if n > 1 else torch.full((1,), float("nan")),
        attention=attention,
        pairwise=pairwise,
        rollout=rollout,
        posteriors=posteriors,
    )


def _questions(whole: Batch) -> Batch:
    """All images of a sequence; then each alone; then, if there are several, all but each."""
    n = whole.index.shape[1]
    index, mask = _padded([list(range(n)), *([i] for i in range(n)), *_left_out(n)])
    device = whole.index.device
    anchor = None if whole.anchor is None else whole.anchor.expand(len(index))
    return Batch(whole.images, whole.labels, index.to(device), mask.to(device), anchor)


def _left_out(n: int) -> list[list[int]]:
    return [[other for other in range(n) if other != i] for i in range(n)] if n > 1 else []


def _padded(rows: list[list[int]]) -> tuple[Int64[Tensor, "B L"], Bool[Tensor, "B L"]]:
    index = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return index, torch.arange(index.shape[1]) < lengths[:, None]


def _rollout(layers: list[Float[Tensor, "H n n"]], start: Float[Tensor, " n"] | None) -> Float[Tensor, " n"] | None:
    """Attention averaged over heads, half of it and half of the residual path in each layer, from last to first.

    `start` is where the reading begins, the anchor's attention; None is all images alike.
    """
    if start is None and not layers:
        return None
    flow = torch.full((layers[0].shape[-1],), 1 / layers[0].shape[-1]) if start is None else start
    for layer in reversed(layers):
        flow = 0.5 * flow + 0.5 * flow @ layer.mean(dim=0)
    return flow


def verdict(task: Task, answer: float, certainty: float | None, between: tuple[int, int] | None) -> str:
    """An answer in words, with how certain it is, from the fields of an `Explanation`."""
    if task.DISCRETE and task.answers(1) == 2:
        return f"{'yes' if answer > 0.5 else 'no'}, probability of yes {answer:.3f}"
    if certainty is None:
        return f"{answer:.2f}"
    within = "" if between is None else f"; 90 % within {between[0]} to {between[1]}"
    return f"{answer:.0f}, probability {certainty:.3f}{within}"
