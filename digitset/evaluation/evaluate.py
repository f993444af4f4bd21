"""Scores of a network on sets of sequences, with intervals and by length."""

import itertools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from digitset.data.mnist import Digits, Splits
from digitset.data.sequences import PUBLISHED_LENGTHS, Batch, partitions, published
from digitset.device import choose_device, plain_torch
from digitset.evaluation.calibration import calibration_scores
from digitset.models import ReadsDigits
from digitset.network import Experiment, Network
from digitset.rng import generator
from digitset.run_folder import LengthScores, RunFolder, Scores, SetScores
from digitset.tasks import DIGITS, Task, load_task

VERSION = 5  # of the sets and of what is reported on them; goes up with every change
ROUNDS = 10  # partitions of the test images in the set `random`
VALIDATION_ROUNDS = 4
EVALUATION_SEED = 0  # the same sets for every run, whatever its seed


@dataclass(frozen=True)
class Predictions:
    """What a network predicts on a set, and what is true; on the CPU, since not every device has double precision."""

    batch: Batch
    prediction: Float[Tensor, "B *_"]
    target: Int64[Tensor, " B"]
    probabilities: Float[Tensor, "B A"] | None = None
    """The probabilities of all answers, where the network gives them."""


def version(task: Task) -> dict[str, int]:
    """What the scores of a network depend on beside its weights: scores of another version are not reused."""
    return {"evaluation": VERSION, "task": task.version}


def evaluation_sets(
    digits: Digits, task: Task, lengths: tuple[int, int], longest: int | None = None
) -> dict[str, Batch]:
    """The sets that a table is made of, by name.

    `test`, every image once, for a task on single images. For sequences: `published`, the windows of the repository
    that posed the tasks (left out for a task of other lengths, and for a model that takes only shorter ones); `random`,
    10 random partitions of the images into sequences of the given lengths; and `single`, every image as a sequence of
    its own (after the image before it as the anchor, if there is one), which shows what was learned of one digit.
    """
    if task.single_image:
        return {"test": published(digits, (1, 1), False)}
    sets = {
        "random": partitions(digits, lengths, task.anchored, ROUNDS, EVALUATION_SEED),
        "single": published(digits, (1, 1), task.anchored),
    }
    if task.lengths == PUBLISHED_LENGTHS:
        sets = {"published": published(digits, task.lengths, task.anchored)} | sets
    return {name: batch for name, batch in sets.items() if longest is None or batch.index.shape[1] <= longest}


def validation_set(digits: Digits, task: Task, lengths: tuple[int, int]) -> Batch:
    """Random partitions of the validation images, the same for every run."""
    return partitions(digits, lengths, task.anchored, VALIDATION_ROUNDS, EVALUATION_SEED)


@torch.inference_mode()
def embed(network: Network, images: UInt8[Tensor, "N 28 28"]) -> Float[Tensor, "N D"]:
    """The vectors of images as evaluation has them."""
    with network.evaluating():
        return network.embed_in_parts(images)


@torch.inference_mode()
def predict_sets(
    network: Network, task: Task, batches: list[Batch], vectors: Float[Tensor, "N D"] | None = None
) -> list[Predictions]:
    """Predictions on sets that share one pool, which is encoded once. Leaves the network in the mode it was in.

    `vectors` are those of the pool, if they are known already.
    """
    vectors = embed(network, batches[0].images) if vectors is None else vectors
    results: list[Predictions] = []
    for batch in batches:
        with network.evaluating():
            output = torch.cat(list(network.apply_model_in_parts(vectors, batch)))
        kind = network.model.output_kind
        probabilities = task.probabilities(output, kind)
        prediction, target = task.decode(output, kind).cpu(), batch.targets(task).cpu()
        results.append(Predictions(batch, prediction, target, None if probabilities is None else probabilities.cpu()))
    return results


def mean_scores(task: Task, predictions: Predictions) -> dict[str, float]:
    """The mean of each example's scores, and the scores of the set as a whole."""
    examples = task.scores(predictions.prediction, predictions.target)
    means = {name: float(values.double().mean()) for name, values in examples.items()}
    return means | task.set_scores(predictions.prediction, predictions.target)


def scores_by_length(task: Task, predictions: Predictions) -> dict[int, LengthScores]:
    """The scores of the sequences of each length."""
    lengths = predictions.batch.lengths.cpu()
    table: dict[int, LengthScores] = {}
    for length in lengths.unique().tolist():
        these = lengths == length
        part = Predictions(predictions.batch, predictions.prediction[these], predictions.target[these])
        table[length] = LengthScores(int(these.sum()), mean_scores(task, part))
    return table


def wilson(accuracy: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % score interval of a proportion of n independent trials (Wilson 1927)."""
    centre = (accuracy + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n))
    return (0.0 if accuracy == 0 else centre - half), (1.0 if accuracy == 1 else centre + half)


@plain_torch()
def evaluate(network: Network, experiment: Experiment, splits: Splits) -> Scores:
    """All scores of a network on the test images, by evaluation set (see `evaluation_sets`).

    A model that reads digits also has the set `digits`: how often its most probable digit is the true one, though no
    label ever told it a digit. For a label-invariant task, digits get the names that fit the validation images best.
    Where the task cannot tell all digits apart, there is no such set. The images may be on another device.
    """
    splits = splits.to(network.device)
    task, vectors = experiment.task, embed(network, splits.test.images)
    sets = evaluation_sets(splits.test, task, experiment.lengths, network.longest)
    scores: Scores = {}
    for name, predictions in zip(sets, predict_sets(network, task, list(sets.values()), vectors), strict=True):
        scores[name] = score_set(task, predictions, ROUNDS if name == "random" else 1)
    if isinstance(network.model, ReadsDigits) and tells_all_digits_apart(task):
        scores["digits"] = _score_digits(network, task, splits, vectors)
    return scores


def evaluate_run_folder(run_folder: RunFolder, splits: Splits, device: str = "auto") -> Scores:
    """The scores of a finished run on the test images: those kept in its folder, or else made and kept there.

    Raises InputError if the folder holds no finished run, and if there are no scores and another process writes there.
    """
    run = run_folder.run()
    experiment = Experiment.of(run)
    kept = run_folder.scores(version(experiment.task))
    if kept is not None:
        return kept
    on = choose_device(device)
    with run_folder.scoring():
        scores = evaluate(run_folder.network(run).to(on).eval(), experiment, splits.to(on))
        run_folder.save_scores(scores, version(experiment.task))
    return scores


def score_set(task: Task, predictions: Predictions, rounds: int = 1) -> SetScores:
    """The scores of one set, which holds each image `rounds` times.

    The interval takes the items of one round for independent, and counts further rounds over the same images for
    nothing. On `published`, items overlap, so that the true interval is somewhat wider.
    """
    means = mean_scores(task, predictions)
    interval = wilson(means["accuracy"], len(predictions.target) // rounds)
    calibration = calibration_scores(predictions.probabilities, predictions.target, task.kind)
    return SetScores(len(predictions.target), means | calibration, interval, scores_by_length(task, predictions))


def tells_all_digits_apart(task: Task) -> bool:
    """Whether taking one digit for another would change some answer among many, for every pair of digits."""
    draw = generator(EVALUATION_SEED, "tells apart")
    shortest, longest = task.lengths
    digits = torch.randint(DIGITS, (2_000, longest), generator=draw)
    anchor = torch.randint(DIGITS, (2_000,), generator=draw) if task.anchored else None
    mask = torch.arange(longest) < torch.randint(shortest, longest + 1, (2_000, 1), generator=draw)

    def targets(names: Tensor) -> Tensor:
        return task.target(names[digits], mask, None if anchor is None else names[anchor])

    pairs = itertools.combinations(range(DIGITS), 2)
    own = torch.arange(DIGITS)
    return not any(torch.equal(targets(own), targets(own.where(own != a, b))) for a, b in pairs)


def _score_digits(network: Network, task: Task, splits: Splits, vectors: Float[Tensor, "N D"]) -> SetScores:
    names = torch.arange(DIGITS)
    if task.label_invariant:
        counts = torch.zeros(DIGITS, DIGITS, dtype=torch.int64)
        of_validation = predict_digits(network, embed(network, splits.val.images)), splits.val.labels.cpu()
        counts.index_put_(of_validation, torch.tensor(1), accumulate=True)
        from scipy.optimize import linear_sum_assignment  # here, since its import takes as long as all of ours

        names = torch.from_numpy(linear_sum_assignment(counts.numpy(), maximize=True)[1])
    accuracy = float((names[predict_digits(network, vectors)] == splits.test.labels.cpu()).double().mean())
    n = len(splits.test)
    return SetScores(n, {"accuracy": accuracy}, wilson(accuracy, n), {})


@torch.inference_mode()
def predict_digits(network: Network, vectors: Float[Tensor, "N D"]) -> Int64[Tensor, " N"]:
    """The most probable digit of each image, on the CPU, for a model that reads digits."""
    model = network.model
    assert isinstance(model, ReadsDigits)
    with network.evaluating():
        return model.digit_log_prob(vectors).argmax(dim=1).cpu()


def evaluate_classifier_rule(classifier: Network, task: Task, lengths: tuple[int, int], digits: Digits) -> Scores:
    """The scores of the baseline "classifier + rule": the task's exact rule on the digits that a classifier predicts.

    `classifier` is a trained network of the task `classify`. An answer by rule is certain, so a loss in nats is
    infinite where one is wrong. The images may be on another device.
    """
    digits = digits.to(classifier.device)
    classify = load_task("classify")
    (single,) = predict_sets(classifier, classify, [published(digits, (1, 1), False)])
    predicted = classify.answer(single.prediction).long().to(digits.labels.device)
    scores: Scores = {}
    for name, batch in evaluation_sets(digits, task, lengths).items():
        anchor = None if batch.anchor is None else predicted[batch.anchor]
        answer = task.target(predicted[batch.index], batch.mask, anchor)
        certain = F.one_hot(answer, task.answer_count(batch.index.shape[1])).float().log()
        predictions = Predictions(batch, task.decode(certain, "distribution").cpu(), batch.targets(task).cpu())
        scores[name] = score_set(task, predictions, ROUNDS if name == "random" else 1)
    return scores
