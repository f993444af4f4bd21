"""`digitset compare --quick` as a newcomer runs it: tables, figures, rows; run again, only what is missing."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Outcome
from PIL import Image
from test_structure import ROOT

from digitset import recipes
from digitset.bench.compare import plan
from digitset.bench.tables import CLASSIFIER_RULE, ResultRow, identity, read_csv
from digitset.data.mnist import Splits
from digitset.evaluation.evaluate import evaluate_classifier_rule, evaluation_sets, wilson
from digitset.network import Experiment
from digitset.report.comparison import EXPLANATION
from digitset.run import Run
from digitset.tasks import load_task

SUM = load_task("sum")
MODELS = ("constant", "transformer")
COMMAND = ("compare", "--quick", "--encoders", "lenet", "cnn", "--models", *MODELS)


def compare(out: Path) -> str:
    command = [sys.executable, "-m", "digitset", *COMMAND, "--out", str(out)]
    wide = {**os.environ, "COLUMNS": "120"}  # so that no cell of a table takes two lines
    return subprocess.run(command, capture_output=True, text=True, check=True, env=wide).stdout


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("compare") / "out"
    return out, compare(out)


def rows(out: Path) -> list[ResultRow]:
    return read_csv(out / "results.csv", ResultRow)


def test_every_row_is_there(comparison: tuple[Path, str]) -> None:
    table = rows(comparison[0])
    expected = [("classify", "mlp", "lenet", "test"), ("classify", "mlp", "cnn", "test")]
    for task in ("sum", "contains"):
        for model in (*MODELS, CLASSIFIER_RULE):
            sets = ["published", "random", "single"]
            expected += [(task, model, "lenet", name) for name in sets]
    assert [(*row.row_name, row.evaluation) for row in table] == expected
    sizes = {"test": 10_000, "digits": 10_000, "sum": 9_990, "contains": 9_989}
    for row in table:
        assert 0 <= row.accuracy_low <= row.accuracy <= row.accuracy_high <= 1
        assert row.n == sizes.get(row.evaluation, row.n)
        if row.evaluation == "published":
            assert row.n == sizes[row.task]
        assert (row.auc is not None) == (row.task == "contains" and row.evaluation != "digits")
        assert (row.mae is not None) == (row.task == "sum" and row.evaluation != "digits")
        assert row.loss is not None or row.model == CLASSIFIER_RULE or row.evaluation == "digits"
        assert row.length_only == (row.model == "constant")
        assert row.data == ""


def test_a_row_of_classifier_rule_describes_the_classifiers_run(comparison: tuple[Path, str]) -> None:
    for table in (rows(comparison[0]), read_csv(ROOT / "results/compare.csv", ResultRow)):
        (classifier, *_) = [row for row in table if row.task == "classify"]
        of_rule = [row for row in table if row.model == CLASSIFIER_RULE]
        assert of_rule
        assert {run_columns(row) for row in of_rule} == {run_columns(classifier)}


def run_columns(row: ResultRow) -> tuple[Any, ...]:
    """What a row says of its run: the columns that are neither a name nor a score."""
    names = {field.name for field in fields(row)} - {"task", "model", "evaluation", "n", "loss", "mae", "auc"}
    return tuple(getattr(row, name) for name in sorted(names) if not name.startswith("accuracy"))


def test_the_report_shows_its_figures(comparison: tuple[Path, str]) -> None:
    out, printed = comparison
    text = (out / "report.md").read_text()
    figures = {path.name for path in (out / "figures").iterdir()}
    for name in figures:
        assert f"figures/{name}" in text
        with Image.open(out / "figures" / name) as image:
            assert image.width > 600
            assert len(image.convert("L").getcolors(256) or []) > 10
    assert {"classify_curves.png", "classify_cnn_confusion.png", "sum_by_length.png"} <= figures
    assert {"sum_transformer_predictions.png", "contains_transformer_attention.png"} <= figures
    for words in ("published", CLASSIFIER_RULE, "constant", "0.66 (loss 1.18)", "0.82", "0.96"):
        assert words in text
    trained = {row.task: f"{row.train_images:,}" for row in rows(out) if row.model == "transformer"}
    (seen,) = {f"{row.train_images:,}" for row in rows(out) if row.model == CLASSIFIER_RULE}
    for task in ("sum", "contains"):
        told = text.split(f"## {task}:")[1].split("\n## ")[0]
        assert f"{CLASSIFIER_RULE} saw {seen} images with their digits" in told
        assert f"| {seen} images |" in told
        assert f"which saw {trained[task]} without their digits" in told
    assert EXPLANATION in printed
    for words in ("0.66", "0.82", "0.96", "constant", CLASSIFIER_RULE):
        assert words in printed


def test_run_again_it_does_only_what_is_missing(comparison: tuple[Path, str], command: Callable[..., Outcome]) -> None:
    out, _ = comparison
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/**/model.json")}
    table = rows(out)
    (gone,) = out.glob("runs/sum/constant-lenet/seed0")
    for file in gone.iterdir():
        file.unlink()
    assert command(*COMMAND, "--out", out).code == 0
    after = {path: path.stat().st_mtime_ns for path in out.glob("runs/**/model.json")}
    assert {path.parent for path in before if before[path] != after[path]} == {gone}
    assert [without_circumstances(row) for row in rows(out)] == [without_circumstances(row) for row in table]


def without_circumstances(row: ResultRow) -> ResultRow:
    """A row without what may differ from one day to the next."""
    return replace(row, train_seconds=0.0, images_per_second=0.0, commit="")


def test_another_configuration_is_refused(comparison: tuple[Path, str], command: Callable[..., Outcome]) -> None:
    outcome = command("compare", "--out", comparison[0])
    assert outcome.code == 2
    assert "holds a different run" in outcome.errors


def test_no_runs_at_a_time_are_refused(tmp_path: Path, command: Callable[..., Outcome]) -> None:
    outcome = command(*COMMAND, "--jobs", 0, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "--jobs: expected 1 to 1,024, got 0" in outcome.errors
    assert not (tmp_path / "out").exists()


def test_classifier_rule_is_the_rule_on_predicted_digits(mnist: Splits) -> None:
    classifier = Experiment.of(Run(task="classify", model="mlp", encoder="lenet")).build().eval()
    with torch.inference_mode():
        images = mnist.test.images[:, None].float() / 255
        vectors = classifier.encoder(images)[:, None]
        predicted = classifier.model(vectors, torch.ones(10_000, 1).bool(), None).argmax(dim=1)
    scores = evaluate_classifier_rule(classifier, SUM, (1, 10), mnist.test)
    batch = evaluation_sets(mnist.test, SUM, (1, 10))["published"]
    answers = (predicted[batch.index] * batch.mask).sum(dim=1)
    expected = float((answers == batch.targets(SUM)).double().mean())
    assert scores["published"].accuracy == pytest.approx(expected, abs=1e-3)
    assert json.dumps(scores["published"].to_json())


def test_models_that_see_images_get_as_many_of_them() -> None:
    """An encoder with a recipe of its own, too, and the length-only baseline keeps its own."""
    models, encoders = ("constant", "exact", "mlp"), ("cnn", "vit")
    runs = plan(("classify", "sum", "contains"), models, encoders, quick=False, device="cpu")
    for task in ("classify", "sum", "contains"):
        images = {run.images_per_step * run.steps for run in runs if run.task == task and run.model != "constant"}
        assert len(images) == 1
    vit, cnn = (Run("classify", "mlp", name, **recipes.brief("classify", True, name)) for name in ("vit", "cnn"))
    assert (vit.optimizer, vit.images_per_step, cnn.optimizer, cnn.images_per_step) == ("muon", 128, "muon", 256)
    assert recipes.brief("sum", False, "cnn").items() >= recipes.LENGTH_ONLY.items()


def test_wilson_interval() -> None:
    low, high = wilson(0.9, 100)
    assert (round(low, 4), round(high, 4)) == (0.8256, 0.9448)  # Newcombe 1998's method 3
    assert wilson(1.0, 50)[1] == 1.0
    assert wilson(0.0, 50)[0] == 0.0
    assert math.isclose(wilson(0.5, 10**8)[1], 0.5, abs_tol=1e-3)


def test_rows_of_one_recipe_differ_by_the_seed_alone() -> None:
    run, other = identity(Run("sum", seed=1)), identity(Run("sum", seed=2))
    assert run["recipe"] == other["recipe"]
    assert run != other
    assert identity(Run("sum", augmentation_strength=0.4))["recipe"] != run["recipe"]
