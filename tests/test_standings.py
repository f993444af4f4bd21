"""Verdicts on made-up tables: what is claimed, what is not, and what the page says of floor and classifier_rule."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitset.bench.leaderboard import standings
from digitset.bench.tables import CURVES, Row, write_csv
from digitset.errors import InputError
from digitset.report import benchmark as page
from digitset.report import charts


def rows(model: str, accuracies: list[float], task: str = "sum", encoder: str = "cnn") -> list[Row]:
    common = {"task": task, "model": model, "encoder": encoder, "recipe": model, "evaluation": "published", "n": 9990}
    common |= {"protocol": "floor-1" if model == "constant" else "1"}
    common |= {"parameters": 1000, "train_seconds": 9.0, "train_images": 5, "learning_rate": 0.01}
    common |= {"commit": "abc", "device": "cpu", "precision": "float32", "threads": 1}
    return [
        common
        | {"seed": seed, "accuracy": accuracy, "accuracy_low": accuracy - 0.004, "accuracy_high": accuracy + 0.004}
        for seed, accuracy in enumerate(accuracies)
    ]


GOOD, CLOSE, POOR = (
    [0.97, 0.972, 0.971, 0.969, 0.973],
    [0.971, 0.969, 0.972, 0.970, 0.9705],
    [0.4, 0.41, 0.39, 0.42, 0.4],
)


def write(folder: Path, *tables: list[Row]) -> Path:
    write_csv(folder / "results.csv", [row for table in tables for row in table])
    write_csv(folder / "curves.csv", [], CURVES)
    return folder


def test_a_verdict_names_ties_and_claims_only_what_is_tested(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("transformer", CLOSE), rows("mlp", POOR), rows("constant", [0.06] * 5))
    (standing,) = standings(tmp_path)
    assert list(standing.names) == ["exact", "transformer", "mlp", "constant"]
    assert standing.ranks == {"exact": 1, "transformer": 1, "mlp": 3}
    said = page.verdict(standing)
    assert "exact has the highest mean accuracy, 0.9710 ± 0.0020" in said
    assert "better than 1 of the 2 others" in said
    assert "not separated from it: transformer" in said
    cells = {row[0]: row[-1] for row in page.pair_table(standing, "transformer")}
    assert cells == {"exact": "not separated", "mlp": "transformer is better"}
    assert standing.bounds() == []


def test_one_seed_carries_no_test(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD[:1]), rows("mlp", POOR[:1]))
    (standing,) = standings(tmp_path)
    assert "nothing could be tested: that takes 3 seeds or more" in page.verdict(standing)
    assert page.pair_table(standing, "exact") == []
    assert set(standing.ranks.values()) == {1}


def test_the_page_says_who_is_out_of_bounds(tmp_path: Path) -> None:
    write(
        tmp_path,
        rows("exact", GOOD),
        rows("mlp", [0.03] * 5),
        rows("constant", [0.06] * 5),
        rows("classifier_rule", POOR),
    )
    (standing,) = standings(tmp_path)
    above, below = standing.bounds()
    assert above.startswith("The mean of exact, 0.9710, is above the classifier_rule, 0.4040")
    assert below.startswith("The mean of mlp, 0.0300, is below the floor, 0.0600")
    page.write(tmp_path)
    for name in ("report.html", "report.md"):
        assert above in (tmp_path / name).read_text()


def test_seeds_and_test_set_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("mlp", POOR))
    (standing,) = standings(tmp_path)
    exact = standing.names["exact"]
    assert exact.test_error == pytest.approx(0.004 / 1.96, rel=1e-3)
    assert exact.accuracy.deviation == pytest.approx(0.00158, abs=1e-5)


def test_encoders_are_compared_by_name(tmp_path: Path) -> None:
    write(tmp_path, rows("mlp", GOOD, "classify", "cnn"), rows("mlp", POOR, "classify", "vit"))
    (standing,) = standings(tmp_path)
    assert list(standing.names) == ["cnn", "vit"]
    assert "cnn has the highest" in page.verdict(standing)


def test_a_task_with_a_ceiling_alone_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("classifier_rule", GOOD, "maximum"))
    assert [standing.task for standing in standings(tmp_path)] == ["sum"]


def test_a_ceiling_belongs_to_the_encoder_of_the_models(tmp_path: Path) -> None:
    poor = rows("classifier_rule", POOR, encoder="vit")
    write(tmp_path, rows("exact", GOOD), rows("classifier_rule", [0.99] * 5), poor)
    (standing,) = standings(tmp_path)
    assert standing.names["classifier_rule"].encoder == "cnn"
    assert standing.bounds() == []


def test_all_are_compared_on_one_set(tmp_path: Path) -> None:
    both = rows("exact", POOR) + [row | {"evaluation": "random"} for row in rows("exact", GOOD)]
    random = [row | {"evaluation": "random"} for row in rows("mlp", CLOSE)]
    write(tmp_path, both, random)
    (standing,) = standings(tmp_path)
    assert standing.evaluation == "random"
    assert standing.names["exact"].accuracy.mean == pytest.approx(0.971)


def test_the_highest_mean_may_still_be_worse_where_seeds_are_shared(tmp_path: Path) -> None:
    write(tmp_path, rows("a", [0.90, 0.901, 0.902, 0.99, 0.99, 0.99, 0.99]), rows("b", [0.92, 0.9211, 0.922]))
    (standing,) = standings(tmp_path)
    assert standing.best == "a"
    assert "is better than" not in page.verdict(standing)


def test_a_model_beaten_by_a_third_one_only_is_named_as_a_tie(tmp_path: Path) -> None:
    spread = [0.99, 0.95, 0.995, 0.94, 0.991]
    write(tmp_path, rows("a", spread), rows("b", [0.97, 0.9701, 0.9699, 0.97, 0.97]), rows("c", [0.95] * 5))
    (standing,) = standings(tmp_path)
    assert standing.ranks == {"a": 1, "b": 1, "c": 2}
    assert page.verdict(standing).endswith("not separated from it: b, c.")


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "\x00\xff", "task\n"])
def test_other_tables_are_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, rows("exact", GOOD))
    (tmp_path / "results.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"results\.csv|expected the folder"):
        standings(tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("accuracy", "high", "expected a number as accuracy, got 'high'"),
        ("accuracy", "nan", "expected a number as accuracy, got 'nan'"),
        ("accuracy", "", "expected a number as accuracy, got none"),
        ("seed", "1.5", "expected a whole number as seed, got '1.5'"),
        ("seed", "3", "twice"),
        ("loss", "x", "expected a number as loss, got 'x'"),
        ("parameters", "?", "expected a whole number as parameters"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, column: str, value: str, words: str) -> None:
    write(tmp_path, [row | {column: value} for row in rows("exact", GOOD)])
    with pytest.raises(InputError, match=words):
        standings(tmp_path)


def test_a_damaged_curve_is_refused(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD))
    curve = {"task": "sum", "model": "exact", "encoder": "cnn", "recipe": "exact", "seed": 0, "step": 1}
    write_csv(tmp_path / "curves.csv", [curve | {"accuracy": "abc", "loss": 1.0}], CURVES)
    with pytest.raises(InputError, match=r"curves\.csv: expected a number as accuracy, got 'abc'"):
        page.write(tmp_path)


def test_what_was_not_tested_is_no_tie(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("mlp", POOR[:2]), rows("gru", POOR), rows("lstm", [0.97 - 0.1] * 5))
    (standing,) = standings(tmp_path)
    assert page.verdict(standing).endswith("better than 2 of the 3 others (p < 0.01, Holm); not tested: mlp.")
    cells = {row[0]: row[2:] for row in page.pair_table(standing, "exact")}
    assert cells["mlp"] == ("", "not tested")


def test_a_floor_counts_whatever_its_encoder_and_name(tmp_path: Path) -> None:
    blind = [row | {"model": "blind"} for row in rows("constant", [0.98] * 5)]
    write(tmp_path, rows("exact", GOOD, encoder="unpadded"), blind)
    (standing,) = standings(tmp_path)
    assert list(standing.ranks) == ["exact"]
    assert standing.bounds()[0].endswith("is below the floor, 0.9800, which answers from the length alone")


def test_floors_alone_are_no_benchmark(tmp_path: Path) -> None:
    write(tmp_path, rows("constant", GOOD))
    with pytest.raises(InputError, match="beside floor and classifier_rule"):
        standings(tmp_path)


def test_an_inlined_figure_is_smaller_and_looks_the_same() -> None:
    digit = np.arange(784, dtype=np.uint8).reshape(28, 28)
    packed = io.BytesIO()
    Image.fromarray(np.dstack([digit, digit, digit, np.full_like(digit, 255)])).save(packed, "PNG")
    whole = base64.b64encode(packed.getvalue()).decode()
    text = f"""<?xml?><svg width="1.123456pt"><!-- words -->
 <g id="patch_1"><path id="letter" transform="scale(0.015625)" d="M 12.345678 -0.123456"/></g>
 <use xlink:href="#letter" x="-71.987654"/><image xlink:href="data:image/png;base64,
{whole}"/><text>0.1234</text></svg>"""
    found = charts.inline(text, "a name")
    assert '<g><path id="a-name-letter" transform="scale(0.015625)" d="M 12.35 -0.123456"/></g>' in found
    assert '<use xlink:href="#a-name-letter" x="-71.99"/>' in found
    assert "words" not in found
    assert "<text>0.1234</text>" in found
    (smaller,) = re.findall(r"base64,([^\"]+)", found)
    with Image.open(io.BytesIO(base64.b64decode(smaller))) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), digit)
    assert len(smaller) < len(whole)


def test_the_steps_of_a_floor_do_not_widen_the_learning_curves(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("constant", [0.06] * 5))
    curve = {"task": "sum", "encoder": "cnn", "recipe": "a", "seed": 0, "accuracy": 0.5, "loss": 1.0}
    steps = [("exact", 50), ("exact", 100), ("constant", 50), ("constant", 700)]
    write_csv(tmp_path / "curves.csv", [curve | {"model": model, "step": step} for model, step in steps], CURVES)
    shown = page.write(tmp_path).read_text()
    chart = shown[shown.index('aria-label="sum: 1 - accuracy by step"') :]
    ticks = re.findall(r">(\d+)</text>", chart[: chart.index("</svg>")])
    assert "100" in ticks
    assert max(map(int, ticks)) < 150
