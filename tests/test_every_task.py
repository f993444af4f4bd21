"""Words, figures and cards are right for every task, also for one that is added as a file, by its kind alone."""

import re
from pathlib import Path

import pytest
import torch
from test_contract import stirred

from digitset import registry
from digitset.data.mnist import Digits, Splits
from digitset.device import Machine
from digitset.evaluation.evaluate import evaluate, version
from digitset.inference.explain import answer_in_words, explain
from digitset.inference.predictor import Predictor
from digitset.inference.publish import publish
from digitset.network import Experiment
from digitset.report import comparison
from digitset.report.comparison import draw_prediction_figures
from digitset.report.explanation_figure import draw_explanation
from digitset.run import Run
from digitset.run_folder import RunFolder, Summary
from digitset.tasks import Task, load_task

TASKS = registry.names("tasks")
WORDS = {  # what an answer of a kind looks like: in a figure, and in a sentence
    "binary": (r"(yes|no), \d+\.\d%", r"(yes|no), probability of yes [01]\.\d{3}"),
    "classes": (r"answer \d", r"\d, probability [01]\.\d{3}"),
    "count": (r"answer \d+", r"\d+, probability [01]\.\d{3}"),
    "quantity": (r"answer -?\d+\.\d\d", r"(-?\d+\.\d\d|\d+, probability [01]\.\d{3}; 90 % within \d+ to \d+)"),
}


@pytest.fixture(scope="module")
def few(mnist: Splits) -> Splits:
    """So few test images that every figure is drawn at once."""
    test = Digits(mnist.test.images[:60], mnist.test.labels[:60])
    return Splits(mnist.train, Digits(mnist.val.images[:60], mnist.val.labels[:60]), test, mnist.checksum)


def untrained(name: str, model: str, encoder: str = "lenet") -> Predictor:
    run = Run(name, model, encoder)
    return Predictor(run, stirred(Experiment.of(run).build()), torch.device("cpu"))


def models_for(task: Task) -> list[str]:
    return ["mlp", "exact"] if task.single_image else ["transformer", "exact", "mlp"]


@pytest.mark.parametrize("name", TASKS)
def test_a_sentence_says_the_answer_as_its_kind_does(name: str) -> None:
    task = load_task(name)
    for answer in range(task.answer_count(task.lengths[1])):
        value = answer / (task.answer_count(1) - 1) if task.kind == "binary" else float(answer)
        sentence = answer_in_words(task, value, 0.75, None)
        assert re.match(r"(yes|no)\b", sentence) if task.kind == "binary" else sentence.startswith(f"{answer}, ")
    if task.kind == "quantity":
        assert answer_in_words(task, 7.25, None, None) == "7.25"


@pytest.mark.parametrize("name", TASKS)
def test_figures_say_the_answers_as_their_kind_does(name: str, few: Splits, tmp_path: Path) -> None:
    task = load_task(name)
    for model in models_for(task):
        predictor = untrained(name, model)
        drawn = dict(draw_prediction_figures(tmp_path, model, predictor, few, ".svg"))
        (sheet,) = (path for caption, path in drawn.items() if "predictions" in caption or "attention" in caption)
        texts = re.findall(r"<!-- (.*?) -->", sheet.read_text()) or re.findall(r"<text[^>]*>([^<]*)", sheet.read_text())
        answers = [text for text in texts if re.match(r"(yes|no),|answer", text)]
        assert len(answers) >= 5
        for text in answers:
            assert re.match(WORDS[task.kind][0] + "$", text), text
        shares = [float(share) for text in texts for share in re.findall(r"(\d+\.\d)%", text)]
        assert all(50 <= share <= 100 for share in shares)
        assert any("confusion" in caption for caption in drawn) == (task.kind in ("classes", "count"))


@pytest.mark.parametrize("name", ["classify", "sum", "contains"])
def test_a_sheet_shows_where_the_encoder_looks(
    name: str, few: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One map over each image of a sequence; beside a single image, two. None over an anchor."""
    task = load_task(name)
    predictor, pictures = untrained(name, models_for(task)[0], "vit"), list[int]()
    for shows in (True, False):
        if not shows:
            monkeypatch.setattr(comparison, "look", lambda *given: None)
        drawn = dict(draw_prediction_figures(tmp_path, "vit", predictor, few, ".svg"))
        (sheet,) = (path for caption, path in drawn.items() if "predictions" in caption or "attention" in caption)
        pictures.append(sheet.read_text().count("<image"))
        assert ("red: where it looks" in sheet.read_text()) == shows
    coloured, plain = pictures
    if task.single_image:
        assert coloured == 5 * plain  # the image alone, and twice with a map
    else:
        anchors = sheet.read_text().count(">in ?<")
        assert coloured - plain == plain - anchors
        assert bool(anchors) == task.anchored


@pytest.mark.parametrize("name", TASKS)
def test_explanations_fit_the_kind(name: str, mnist: Splits, tmp_path: Path) -> None:
    task = load_task(name)
    for model, encoder in [*((model, "lenet") for model in models_for(task)), ("exact", "vit")]:
        predictor = untrained(name, model, encoder)
        images = mnist.test.images[: 1 if task.single_image else task.lengths[0] + 2].numpy()
        anchor = mnist.test.images[50].numpy() if task.anchored else None
        explanation = explain(predictor, images, anchor)
        words = answer_in_words(task, explanation.answer, explanation.certainty, explanation.interval)
        assert re.fullmatch(WORDS[task.kind][1], words), words
        assert (explanation.interval is None) == (task.kind != "quantity" or explanation.distribution is None)
        path = tmp_path / f"{model}.svg"
        draw_explanation(path, f"{name}/{model}", task, images, anchor, explanation)
        drawn = path.read_text()
        assert ("what it rests on" in drawn) == (encoder == "vit")
        shows_distribution = explanation.distribution is not None and task.kind != "binary"
        assert ("probability of each answer" in drawn) == shows_distribution


@pytest.mark.parametrize("name", TASKS)
def test_a_card_says_the_scores_of_its_kind(name: str, few: Splits, tmp_path: Path) -> None:
    task, predictor = load_task(name), untrained(name, "exact")
    run_folder = RunFolder(tmp_path / "run")
    run_folder.start(predictor.run, Machine.here(torch.device("cpu")), "float32", task.version, few.checksum)
    run_folder.finish(predictor.network.state_dict(), Summary(1, 1, 1.0, 1.0, 1))
    scores = evaluate(predictor.network, predictor.experiment, few)
    run_folder.save_scores(scores, version(task))
    publish(run_folder.path, tmp_path / "published")
    card = (tmp_path / "published/README.md").read_text()
    assert task.question in card
    for word in {"quantity": ("mse", "mae", "coverage90"), "binary": ("bce", "auc", "brier")}.get(
        task.kind, ("cross_entropy", "ece", "brier")
    ):
        assert f"{word} " in card
    kept = RunFolder(tmp_path / "published").scores(version(task))
    assert kept is not None
    assert repr(kept) == repr(scores)  # also the lengths, which JSON has as texts; an AUC may be NaN
    for of_set in kept.values():
        assert all(isinstance(length, int) for length in of_set.by_length)
        assert 0 <= of_set.scores.get("brier", 0) <= (1 if task.kind == "binary" else 2)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_a_network_in_the_mode_it_was_in(few: Splits, training: bool) -> None:
    """Also one that reads digits, of which there is a set of its own."""
    predictor = untrained("contains", "exact")
    network = predictor.network.train(training)
    assert "digits" in evaluate(network, predictor.experiment, few)
    assert {module.training for module in network.modules()} == {training}
