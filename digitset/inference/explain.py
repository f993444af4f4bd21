"""Why a trained network answers as it does: what each image adds, where attention looks, which digits are read."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from digitset.data.sequences import Batch
from digitset.device import plain_torch
from digitset.evaluation.calibration import LEVEL, central_interval
from digitset.inference.places import Places, look, rolled_out
from digitset.inference.predictor import Images, Predictor
from digitset.models import Attends, ReadsDigits, SelfAttends
from digitset.tasks import OutputKind, Task


@dataclass(frozen=True)
class Explanation:
    """Of one answer for n images, on the CPU. A field is None where the model, encoder or task has no such thing."""

    answer: float
    """As `Predictor.predict` gives it: the digit, the sum, the probability of yes."""
    certainty: float | None
    """The probability that the model gives to what it answers: the class, the sum, yes or no."""
    distribution: Float32[Tensor, " A"] | None
    """The probabilities of all answers 0 .. A - 1."""
    interval: tuple[int, int] | None
    """Of a quantity with a distribution: what lies below it and what lies above have 5 % each, at most."""
    single_answers: Float32[Tensor, " n"]
    """The answer to each image alone, after the same anchor."""
    contributions: Float32[Tensor, " n"]
    """The answer to all images, less that to all but this one (leave one out); NaN for an image that is alone."""
    attention: Float32[Tensor, "H n"] | None
    """What each head gives to each image: from the anchor, or on average over the images that attend."""
    pairwise: Float32[Tensor, "H n n"] | None
    """Self-attention of the last layer, from each image (row) to each image."""
    rollout: Float32[Tensor, " n"] | None
    """How much of each image there is in what is read, through all layers (Abnar and Zuidema 2020): sums to 1."""
    digit_probabilities: Float32[Tensor, "n 10"] | None
    """The probabilities of each image's digit, for a task that names digits."""
    places: Places | None
    """Where on each image the encoder looks; None if it has no attention to show."""

    def __repr__(self) -> str:
        return f"explanation of the answer {self.answer:.4g} to {len(self.single_answers)} images"


@plain_torch()
@torch.inference_mode()
def explain(predictor: Predictor, images: Images, anchor: Images | None = None) -> Explanation:
    """Explains the answer for one sequence: uint8 images [n, 28, 28], and [28, 28] as the anchor where there is one.

    Leaving each image out takes n answers for n - 1 images: for more than some hundred, minutes. Raises InputError as
    `Predictor.predict` does.
    """
    network, task = predictor.network, predictor.task
    whole = predictor.batch([images], None if anchor is None else anchor[None])
    vectors = network.embed_in_parts(whole.images)
    output = torch.cat(list(network.apply_model_in_parts(vectors, _questions(whole)))).cpu()
    answers, n = task.answer(task.decode(output, network.model.output_kind)).float(), len(images)
    distribution, certainty, interval = certainty_of(task, output[0], network.model.output_kind)

    model = network.model
    tokens, mask, anchors = whole.gather(vectors)
    attention = pairwise = rollout = digits = None
    if isinstance(model, Attends):
        attention = model.attention(tokens, mask, anchors)[0].cpu()
    if isinstance(model, SelfAttends):
        layers = [layer[0].cpu() for layer in model.self_attention(tokens, mask)]
        pairwise = layers[-1] if layers else None
        rollout = _rollout(layers, attention.mean(dim=0) if task.anchored and attention is not None else None)
    if isinstance(model, ReadsDigits) and not task.label_invariant:
        digits = model.digit_log_prob(tokens[0]).exp().cpu()
    return Explanation(
        answer=float(answers[0]),
        certainty=certainty,
        distribution=distribution,
        interval=interval,
        single_answers=answers[1 : n + 1],
        contributions=answers[0] - answers[n + 1 :] if n > 1 else torch.full((1,), float("nan")),
        attention=attention,
        pairwise=pairwise,
        rollout=rollout,
        digit_probabilities=digits,
        places=look(predictor, images, anchor),
    )


def certainty_of(
    task: Task, output: Float[Tensor, " _"], output_kind: OutputKind
) -> tuple[Float[Tensor, " A"] | None, float | None, tuple[int, int] | None]:
    """The fields `distribution`, `certainty` and `interval` of an `Explanation`, from the output for one sequence."""
    distribution = task.probabilities(output[None], output_kind)
    if distribution is None:
        return None, None, None
    interval = None
    if task.kind == "quantity":
        low, high = central_interval(distribution, LEVEL)
        interval = (int(low), int(high))
    return distribution[0], float(distribution.max()), interval


def _questions(whole: Batch) -> Batch:
    """The questions about one sequence, as sequences over its images."""
    index, lengths = questions(whole.index.shape[1])
    mask, device = torch.arange(index.shape[1]) < lengths[:, None], whole.index.device
    anchor = None if whole.anchor is None else whole.anchor.expand(len(index))
    return Batch(whole.images, whole.labels, index.to(device), mask.to(device), anchor)


def questions(n: int) -> tuple[Int64[Tensor, "B n"], Int64[Tensor, " B"]]:
    """What n images are asked to explain an answer: all; then each alone; then, of several, all but each.

    Rows of indices, with zeros behind shorter ones, and their lengths.
    """
    rows = [list(range(n)), *([i] for i in range(n))]
    rows += [[other for other in range(n) if other != i] for i in range(n)] if n > 1 else []
    index = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return index, torch.tensor([len(row) for row in rows])


def _rollout(layers: list[Float[Tensor, "H n n"]], start: Float[Tensor, " n"] | None) -> Float[Tensor, " n"] | None:
    """`Explanation.rollout`. `start` is where the reading begins, the anchor's attention; None is all images alike."""
    if start is None and not layers:
        return None
    flow = torch.full((layers[0].shape[-1],), 1 / layers[0].shape[-1]) if start is None else start
    return rolled_out(layers, flow[None])[0]


def answer_in_words(task: Task, answer: float, certainty: float | None, interval: tuple[int, int] | None) -> str:
    """An answer in words, with how certain it is, from the fields of an `Explanation`."""
    if task.kind == "binary":
        return f"{'yes' if answer > 0.5 else 'no'}, probability of yes {answer:.3f}"
    if certainty is None:
        return f"{answer:.2f}"
    within = "" if interval is None else f"; 90 % within {interval[0]} to {interval[1]}"
    return f"{answer:.0f}, probability {certainty:.3f}{within}"
