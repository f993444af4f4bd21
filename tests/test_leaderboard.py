"""Verdicts on made-up tables: what is claimed, what is not, and what the page says of the two baselines."""

import base64
import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitset.bench.leaderboard import leaderboards
from digitset.bench.tables import CLASSIFIER_RULE, CurveRow, ResultRow, write_csv
from digitset.errors import InputError
from digitset.report import benchmark as page
from digitset.report import charts


def rows(model: str, accuracies: list[float], task: str = "sum", encoder: str = "cnn") -> list[ResultRow]:
    """The rows of a model, one for each seed; `constant` is the length-only baseline."""
    return [
        ResultRow(
            task=task,
            model=model,
            encoder=encoder,
            seed=seed,
            recipe=model,
            evaluation="published",
            n=9_990,
            accuracy=accuracy,
            accuracy_low=accuracy - 0.004,
            accuracy_high=accuracy + 0.004,
            loss=None,
            mae=None,
            auc=None,
            parameters=1_000,
            train_steps=5,
            train_images=5,
            train_seconds=9.0,
            images_per_second=1.0,
            device="cpu",
            precision="float32",
            threads=1,
            commit="abc",
            learning_rate=0.01,
            train_flops=None,
            protocol="length-only-1" if model == "constant" else "1",
            data="",
        )
        for seed, accuracy in enumerate(accuracies)
    ]


GOOD, CLOSE, POOR = (
    [0.97, 0.972, 0.971, 0.969, 0.973],
    [0.971, 0.969, 0.972, 0.970, 0.9705],
    [0.4, 0.41, 0.39, 0.42, 0.4],
)


def write(folder: Path, *tables: list[ResultRow]) -> None:
    write_csv(folder / "results.csv", [row for table in tables for row in table], ResultRow)
    write_csv(folder / "curves.csv", [], CurveRow)


def spoil(path: Path, column: str, value: str) -> None:
    """Puts a value into the first row of a table, as an editor would."""
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    lines[1][lines[0].index(column)] = value
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def test_a_verdict_names_ties_and_claims_only_what_is_tested(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("transformer", CLOSE), rows("mlp", POOR), rows("constant", [0.06] * 5))
    (board,) = leaderboards(tmp_path)
    assert list(board.names) == ["exact", "transformer", "mlp", "constant"]
    assert board.ranks == {"exact": 1, "transformer": 1, "mlp": 3}
    said = page.verdict(board)
    assert "exact has the highest mean accuracy, 0.9710 ± 0.0020" in said
    assert "better than 1 of the 2 others" in said
    assert "not separated from it: transformer" in said
    cells = {row[0]: row[-1] for row in page.pair_table(board, "transformer")}
    assert cells == {"exact": "not separated", "mlp": "transformer is better"}
    assert board.beyond_baselines() == []


def test_one_seed_carries_no_test(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD[:1]), rows("mlp", POOR[:1]))
    (board,) = leaderboards(tmp_path)
    assert "nothing could be tested: that takes 3 seeds or more" in page.verdict(board)
    assert page.pair_table(board, "exact") == []
    assert set(board.ranks.values()) == {1}


def test_the_page_says_who_is_beyond_the_baselines(tmp_path: Path) -> None:
    write(
        tmp_path,
        rows("exact", GOOD),
        rows("mlp", [0.03] * 5),
        rows("constant", [0.06] * 5),
        rows(CLASSIFIER_RULE, POOR),
    )
    (board,) = leaderboards(tmp_path)
    above, below = board.beyond_baselines()
    assert above.startswith("The mean of exact, 0.9710, is above 0.4040, the exact rule on the digits that the")
    assert below.startswith("The mean of mlp, 0.0300, is below 0.0600, the length-only baseline")
    page.write_benchmark(tmp_path)
    for name in ("report.html", "report.md"):
        assert above in (tmp_path / name).read_text()


def test_seeds_and_test_set_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("mlp", POOR))
    (board,) = leaderboards(tmp_path)
    exact = board.names["exact"]
    assert exact.test_error == pytest.approx(0.004 / 1.96, rel=1e-3)
    assert exact.accuracy.deviation == pytest.approx(0.00158, abs=1e-5)


def test_encoders_are_compared_by_name(tmp_path: Path) -> None:
    write(tmp_path, rows("mlp", GOOD, "classify", "cnn"), rows("mlp", POOR, "classify", "vit"))
    (board,) = leaderboards(tmp_path)
    assert list(board.names) == ["cnn", "vit"]
    assert "cnn has the highest" in page.verdict(board)


def test_a_task_with_classifier_rule_alone_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows(CLASSIFIER_RULE, GOOD, "maximum"))
    assert [board.task for board in leaderboards(tmp_path)] == ["sum"]


def test_classifier_rule_is_of_the_encoder_of_the_models(tmp_path: Path) -> None:
    poor = rows(CLASSIFIER_RULE, POOR, encoder="vit")
    write(tmp_path, rows("exact", GOOD), rows(CLASSIFIER_RULE, [0.99] * 5), poor)
    (board,) = leaderboards(tmp_path)
    assert board.names[CLASSIFIER_RULE].encoder == "cnn"
    assert board.beyond_baselines() == []


def test_all_are_compared_on_one_set(tmp_path: Path) -> None:
    both = rows("exact", POOR) + [replace(row, evaluation="random") for row in rows("exact", GOOD)]
    random = [replace(row, evaluation="random") for row in rows("mlp", CLOSE)]
    write(tmp_path, both, random)
    (board,) = leaderboards(tmp_path)
    assert board.evaluation == "random"
    assert board.names["exact"].accuracy.mean == pytest.approx(0.971)


def test_the_highest_mean_may_still_be_worse_where_seeds_are_shared(tmp_path: Path) -> None:
    write(tmp_path, rows("a", [0.90, 0.901, 0.902, 0.99, 0.99, 0.99, 0.99]), rows("b", [0.92, 0.9211, 0.922]))
    (board,) = leaderboards(tmp_path)
    assert board.best == "a"
    assert "is better than" not in page.verdict(board)


def test_a_model_beaten_by_a_third_one_only_is_named_as_a_tie(tmp_path: Path) -> None:
    spread = [0.99, 0.95, 0.995, 0.94, 0.991]
    write(tmp_path, rows("a", spread), rows("b", [0.97, 0.9701, 0.9699, 0.97, 0.97]), rows("c", [0.95] * 5))
    (board,) = leaderboards(tmp_path)
    assert board.ranks == {"a": 1, "b": 1, "c": 2}
    assert page.verdict(board).endswith("not separated from it: b, c.")


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "\x00\xff", "task\n"])
def test_other_tables_are_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, rows("exact", GOOD))
    (tmp_path / "results.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"results\.csv|expected the folder"):
        leaderboards(tmp_path)


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
    write(tmp_path, rows("exact", GOOD))
    spoil(tmp_path / "results.csv", column, value)
    with pytest.raises(InputError, match=words):
        leaderboards(tmp_path)


def curve(model: str, step: int) -> CurveRow:
    return CurveRow(task="sum", model=model, encoder="cnn", seed=0, recipe=model, step=step, loss=1.0, accuracy=0.5)


def test_a_damaged_curve_is_refused(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD))
    write_csv(tmp_path / "curves.csv", [curve("exact", 1)], CurveRow)
    spoil(tmp_path / "curves.csv", "accuracy", "abc")
    with pytest.raises(InputError, match=r"curves\.csv: expected a number as accuracy, got 'abc'"):
        page.write_benchmark(tmp_path)


def test_what_was_not_tested_is_no_tie(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("mlp", POOR[:2]), rows("gru", POOR), rows("lstm", [0.97 - 0.1] * 5))
    (board,) = leaderboards(tmp_path)
    assert page.verdict(board).endswith("better than 2 of the 3 others (p < 0.01, Holm); not tested: mlp.")
    cells = {row[0]: row[2:] for row in page.pair_table(board, "exact")}
    assert cells["mlp"] == ("", "not tested")


def test_the_length_only_baseline_counts_whatever_its_encoder_and_name(tmp_path: Path) -> None:
    blind = [replace(row, model="blind") for row in rows("constant", [0.98] * 5)]
    write(tmp_path, rows("exact", GOOD, encoder="unpadded"), blind)
    (board,) = leaderboards(tmp_path)
    assert list(board.ranks) == ["exact"]
    assert board.beyond_baselines()[0].endswith("is below 0.9800, the length-only baseline")


def test_baselines_alone_are_no_benchmark(tmp_path: Path) -> None:
    write(tmp_path, rows("constant", GOOD), rows(CLASSIFIER_RULE, GOOD))
    with pytest.raises(InputError, match="expected rows of a model that uses images, found none"):
        leaderboards(tmp_path)


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


def test_the_steps_of_the_length_only_baseline_do_not_widen_the_learning_curves(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("constant", [0.06] * 5))
    steps = [("exact", 50), ("exact", 100), ("constant", 50), ("constant", 700)]
    write_csv(tmp_path / "curves.csv", [curve(model, step) for model, step in steps], CurveRow)
    shown = page.write_benchmark(tmp_path).read_text()
    chart = shown[shown.index('aria-label="sum: 1 - accuracy by step"') :]
    ticks = re.findall(r">(\d+)</text>", chart[: chart.index("</svg>")])
    assert "100" in ticks
    assert max(map(int, ticks)) < 150


@pytest.mark.parametrize("name", ["results", "curves", "lengths"])
def test_an_empty_table_is_one_line(tmp_path: Path, name: str) -> None:
    write(tmp_path, rows("exact", GOOD), rows("mlp", POOR))
    (tmp_path / f"{name}.csv").write_text("")
    with pytest.raises(InputError, match=f"{name}.csv: expected a whole table"):
        page.write_benchmark(tmp_path)
