"""`digitset compare --quick` as a newcomer runs it: tables, figures, rows; run again, only what is missing."""

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from digitset.bench.compare import EXPLANATION
from digitset.bench.tables import COLUMNS, identity
from digitset.data.mnist import Splits
from digitset.evaluation.evaluate import classifier_rule, evaluation_sets, wilson
from digitset.network import build, solve
from digitset.run import Run

SUM = load_task("sum")
MODELS = ("constant", "transformer", "exact")


def compare(out: Path) -> str:
    command = [sys.executable, "-m", "digitset", "compare", "--quick", "--encoders", "lenet", "cnn", "--out", str(out)]
    command += ["--models", *MODELS]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("compare") / "out"
    return out, compare(out)


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_row_is_there(comparison: tuple[Path, str]) -> None:
    table = rows(comparison[0])
    found = [(row["task"], row["model"], row["encoder"], row["evaluation"]) for row in table]
    expected = [("classify", "mlp", "lenet", "test"), ("classify", "mlp", "cnn", "test")]
    for task in ("sum", "contains"):
        for model in (*MODELS, "classifier_rule"):
            sets = ["published", "random", "single"] + ["digits"] * (model == "exact")
            expected += [(task, model, "lenet", name) for name in sets]
    assert found == expected
    assert tuple(table[0]) == COLUMNS
    sizes = {"test": "10000", "digits": "10000", "sum": "9990", "contains": "9989"}
    for row in table:
        assert 0 <= float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"]) <= 1
        assert row["n"] == sizes.get(row["evaluation"], row["n"])
        if row["evaluation"] == "published":
            assert row["n"] == sizes[row["task"]]
        assert (row["auc"] != "") == (row["task"] == "contains" and row["evaluation"] != "digits")
        assert (row["mae"] != "") == (row["task"] == "sum" and row["evaluation"] != "digits")
        assert row["loss"] or row["model"] == "classifier_rule" or row["evaluation"] == "digits"


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
    for words in ("published", "classifier_rule", "constant", "0.66 (loss 1.18)", "0.82", "0.96"):
        assert words in text
    assert EXPLANATION in printed
    for words in ("0.66", "0.82", "0.96", "constant", "classifier_rule"):
        assert words in printed


def test_run_again_it_does_only_what_is_missing(comparison: tuple[Path, str]) -> None:
    out, _ = comparison
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/**/model.json")}
    table = (out / "results.csv").read_text()
    (gone,) = out.glob("runs/sum/constant-lenet/seed0")
    for file in gone.iterdir():
        file.unlink()
    compare(out)
    after = {path: path.stat().st_mtime_ns for path in out.glob("runs/**/model.json")}
    assert {path.parent for path in before if before[path] != after[path]} == {gone}
    timing = ("train_seconds", "images_per_second")
    again = [{name: value for name, value in row.items() if name not in timing} for row in rows(out)]
    reader = csv.DictReader(table.splitlines())
    assert again == [{name: value for name, value in row.items() if name not in timing} for row in reader]


def test_another_configuration_is_refused(comparison: tuple[Path, str]) -> None:
    command = [sys.executable, "-m", "digitset", "compare", "--out", str(comparison[0])]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "holds a different run" in result.stderr


def test_the_ceiling_is_the_rule_on_what_is_read(mnist: Splits) -> None:
    classifier = build(Run(task="classify", model="mlp", encoder="lenet")).eval()
    with torch.inference_mode():
        images = mnist.test.images[:, None].float() / 255
        seen = classifier.model(classifier.encoder(images)[:, None], torch.ones(10_000, 1).bool(), None).argmax(dim=1)
    report = classifier_rule(classifier, SUM, (1, 10), mnist.test)
    batch = evaluation_sets(mnist.test, SUM, (1, 10))["published"]
    guess = (seen[batch.index] * batch.mask).sum(dim=1)
    expected = float((guess == solve(SUM, batch)).double().mean())
    assert report["published"]["scores"]["accuracy"] == pytest.approx(expected, abs=1e-3)
    assert json.dumps(report["published"]["interval"])


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
