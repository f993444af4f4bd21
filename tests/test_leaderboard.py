"""Verdicts on made-up tables: what is claimed, what is not, and what the page says of the two baselines."""

import base64
import csv
import io
import itertools
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_structure import PACKAGE, ROOT

from digitset.bench.leaderboard import Leaderboard, leaderboards
from digitset.bench.statistics import detectable_effect
from digitset.bench.tables import CLASSIFIER_RULE, ClassifierImages, CurveRow, LabelRow, ResultRow, write_csv
from digitset.cli.terminal import print_verdicts
from digitset.errors import InputError
from digitset.report import benchmark as page
from digitset.report import charts, seal
from digitset.report.verdicts import HEADINGS, against_baseline, pair_table, table, verdict


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


def test_each_model_beside_the_baseline(tmp_path: Path) -> None:
    """Better, worse, or not separated, with how many seeds would show what was found if it is the truth."""
    near = [value - 0.0012 for value in (0.972, 0.9705, 0.9712, 0.9695, 0.9735)]
    write(tmp_path, rows("exact", GOOD), rows("gru", near), rows("mlp", POOR), rows("constant", [0.06] * 5))
    (board,) = leaderboards(tmp_path)
    of_gru, of_mlp = against_baseline(board, "exact")
    assert re.fullmatch(r"mlp beside exact: -0\.567\d ± 0\.\d{4} over 5 seeds, p [\d.e-]+: mlp is worse", of_mlp)
    found = re.fullmatch(
        r"gru beside exact: -0\.000\d ± .*: not separated; .*, about (\d+) seeds in all would show it", of_gru
    )
    assert found, of_gru
    needed = int(found[1])
    (pair,) = (pair for pair in board.against("gru") if pair.second == "exact")
    deviation = pair.detectable / detectable_effect(5, 3)
    shown = [deviation * detectable_effect(n, 3) <= abs(pair.mean) for n in (needed - 1, needed)]
    assert shown == [False, True]
    of_exact, of_gru = against_baseline(board, "mlp")
    assert of_exact.endswith("exact is better")
    assert of_gru.endswith("gru is better")

    write(tmp_path, rows("exact", GOOD[:2]), rows("gru", GOOD[1:3]))
    (board,) = leaderboards(tmp_path)
    (untested,) = against_baseline(board, "gru")
    assert "not tested: that takes 3 seeds" in untested


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


def test_a_verdict_does_not_hide_that_the_best_mean_is_beaten_where_seeds_are_shared(tmp_path: Path) -> None:
    """A row of more seeds than the others, as after cells that failed."""
    shared = [0.8, 0.801, 0.799, 0.8, 0.802]
    more = rows("exact", [*shared, *[0.99] * 15])
    write(tmp_path, more, rows("transformer", [value + 0.05 for value in reversed(shared)]))
    (board,) = leaderboards(tmp_path)
    assert board.best == "exact"
    assert verdict(board).endswith("; on the seeds that both have it is worse than transformer.")


def test_better_than_all_is_said_so(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("mlp", POOR))
    (board,) = leaderboards(tmp_path)
    assert "on these test images it is better than all others (p < 0.01, Holm)" in verdict(board)


def test_a_verdict_names_ties_and_claims_only_what_is_tested(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("transformer", CLOSE), rows("mlp", POOR), rows("constant", [0.06] * 5))
    (board,) = leaderboards(tmp_path)
    assert list(board.names) == ["exact", "transformer", "mlp", "constant"]
    assert board.groups == {"exact": "a", "transformer": "a", "mlp": "b"}
    said = verdict(board)
    assert said.startswith("Of the learned models, exact has the highest mean accuracy, 0.9710 ± 0.0020")
    assert "better than 1 of the 2 others" in said
    (detectable,) = [f"{pair.detectable:.4f}" for pair in board.pairs if pair.second == "transformer"]
    assert said.endswith(f"not separated from it (in brackets, the detectable difference): transformer ({detectable}).")
    cells = {row[0]: row[-1] for row in pair_table(board, "transformer")}
    assert cells == {"exact": "not separated", "mlp": "transformer is better"}
    assert board.beyond_baselines() == []


def test_one_seed_carries_no_test(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD[:1]), rows("mlp", POOR[:1]))
    (board,) = leaderboards(tmp_path)
    assert "nothing could be tested: that takes 3 seeds or more" in verdict(board)
    assert pair_table(board, "exact") == []
    assert board.groups == {}
    assert board.remarks() == []


def test_the_page_says_who_is_beyond_the_baselines(tmp_path: Path) -> None:
    write(
        tmp_path,
        rows("exact", GOOD),
        rows("mlp", [0.03] * 5),
        rows("constant", [0.06] * 5),
        rows(CLASSIFIER_RULE, POOR),
    )
    (board,) = leaderboards(tmp_path)
    above, below, saw = board.remarks()
    assert above.startswith("The mean of exact, 0.9710, is above 0.4040, the exact rule on the digits that the")
    assert below.startswith("The mean of mlp, 0.0300, is below 0.0600, the length-only baseline")
    page.write_benchmark(tmp_path)
    for name, sentence in itertools.product(("report.html", "report.md"), (above, below, saw)):
        assert sentence in (tmp_path / name).read_text()


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
    assert "cnn has the highest" in verdict(board)


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
    assert "is better than" not in verdict(board)


def test_a_model_beaten_by_a_third_one_only_is_named_as_a_tie(tmp_path: Path) -> None:
    spread = [0.99, 0.95, 0.995, 0.94, 0.991]
    write(tmp_path, rows("a", spread), rows("b", [0.97, 0.9701, 0.9699, 0.97, 0.97]), rows("c", [0.95] * 5))
    (board,) = leaderboards(tmp_path)
    assert board.groups == {"a": "ab", "b": "a", "c": "b"}
    assert re.search(r"not separated from it .*: b \(0\.\d+\), c \(0\.\d+\)\.$", verdict(board))


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
    assert verdict(board).endswith("better than 2 of the 3 others (p < 0.01, Holm); not tested: mlp.")
    cells = {row[0]: row[2:] for row in pair_table(board, "exact")}
    assert cells["mlp"] == ("", "", "not tested")
    assert board.remarks() == ["Not tested, and so in one group: exact and mlp, lstm and mlp, mlp and gru"]
    for other in ("exact", "lstm", "gru"):
        assert set(board.groups["mlp"]) & set(board.groups[other])


def test_the_length_only_baseline_counts_whatever_its_encoder_and_name(tmp_path: Path) -> None:
    blind = [replace(row, model="blind") for row in rows("constant", [0.98] * 5)]
    write(tmp_path, rows("exact", GOOD, encoder="unpadded"), blind)
    (board,) = leaderboards(tmp_path)
    assert board.learned == ["exact"]
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


@pytest.fixture(scope="module")
def measured() -> dict[str, Leaderboard]:
    """The leaderboards of the published benchmark."""
    return {board.task: board for board in leaderboards(ROOT / "results/bench")}


def test_rows_stand_in_the_order_of_their_means(measured: dict[str, Leaderboard]) -> None:
    for board in measured.values():
        means = [row.accuracy.mean for row in board.names.values()]
        assert means == sorted(means, reverse=True)
        assert [row[HEADINGS.index("accuracy")] for row in table(board)] == [
            f"{row.accuracy.mean:.4f} ± {row.accuracy.half:.4f}" for row in board.names.values()
        ]


def test_a_model_whose_seeds_scatter_is_not_put_before_a_better_one(tmp_path: Path) -> None:
    """Nothing separates gru, though its mean is the lowest: its worst and its best seed say why."""
    scattered = [0.4, 0.75, 0.95, 0.98, 0.8]
    write(tmp_path, rows("exact", GOOD), rows("mlp", [0.81, 0.82, 0.815, 0.818, 0.816]), rows("gru", scattered))
    (board,) = leaderboards(tmp_path)
    assert board.learned == ["exact", "mlp", "gru"]
    assert set(board.groups["gru"]) >= set(board.groups["exact"]) | set(board.groups["mlp"])
    assert not set(board.groups["mlp"]) & set(board.groups["exact"])
    (gru,) = [row for row in table(board) if row[0] == "gru"]
    seeds = board.names["gru"].accuracies.values()
    assert gru[HEADINGS.index("lowest to highest")] == f"{min(seeds):.4f} to {max(seeds):.4f}"
    (pair,) = [row for row in pair_table(board, "exact") if row[0] == "gru"]
    assert f"gru ({pair[3]})" in verdict(board)


def test_a_pair_that_no_test_separates_shares_a_letter_whatever_others_do(measured: dict[str, Leaderboard]) -> None:
    """In `contains`, deepsets is separated from exact and not from transformer_exact, whose mean is higher."""
    groups = measured["contains"].groups
    assert set(groups["transformer_exact"]) & set(groups["deepsets"])
    assert not set(groups["exact"]) & set(groups["deepsets"])


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ((4, 5), "saw 4 images with their digits in training, fewer than the models of this task, which saw 5 without"),
        ((5_000, 5_000), "saw 5,000 images with their digits in training, as many as the models of this task"),
        ((6, 5), "more than the models of this task, which saw 5 without"),
        ((5, 4, 6), "neither fewer nor more than all the models of this task, which saw 4 to 6 without"),
    ],
)
def test_what_the_classifier_saw_is_told_beside_what_the_models_saw(images: tuple[int, ...], words: str) -> None:
    names = (CLASSIFIER_RULE, "exact", "mlp")
    given = [replace(rows(name, [0.9])[0], train_images=count) for name, count in zip(names, images, strict=False)]
    saw = ClassifierImages.of([*given, *rows("constant", [0.1])])
    assert saw
    assert words in saw.sentence
    assert ClassifierImages.of(given[1:]) is None


def test_the_table_has_the_images_of_the_classifier(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), [replace(row, train_images=1_234) for row in rows(CLASSIFIER_RULE, GOOD)])
    (board,) = leaderboards(tmp_path)
    cells = {row[0]: row[HEADINGS.index("images")] for row in table(board)}
    assert cells == {"exact": "5", CLASSIFIER_RULE: "1,234"}


def written(folder: Path) -> list[tuple[bytes, int]]:
    """The page and its tables, and when they were written."""
    files = (folder / "report.html", folder / "report.md")
    return [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]


def test_a_page_is_written_again_only_if_something_changed(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("mlp", POOR))
    print_verdicts(tmp_path)
    before = written(tmp_path)
    print_verdicts(tmp_path)
    assert written(tmp_path) == before
    write(tmp_path, rows("exact", GOOD), rows("mlp", CLOSE))
    print_verdicts(tmp_path)
    assert all(old != new for old, new in zip(before, written(tmp_path), strict=True))
    assert seal.is_current(tmp_path)


def change_a_table(folder: Path) -> None:
    spoil(folder / "results.csv", "train_seconds", "8.0")


def add_a_table(folder: Path) -> None:
    write_csv(folder / "curves.csv", [curve("exact", 1)], CurveRow)


def change_a_run(folder: Path) -> None:
    (folder / "runs/sum/exact-cnn/seed0/metrics.jsonl").write_text("{}")


def add_to_a_run(folder: Path) -> None:
    (folder / "runs/sum/exact-cnn/seed0/checkpoint").write_text("")


def change_the_page(folder: Path) -> None:
    file = folder / "report.html"
    file.write_text(file.read_text().replace("0.9710", "0.9999"))


def cut_the_page(folder: Path) -> None:
    file = folder / "report.html"
    file.write_bytes(file.read_bytes()[:-1])


def label_rows(model: str, seed: int, accuracies: dict[int, float]) -> list[LabelRow]:
    cell = {"task": "sum", "model": model, "encoder": "cnn", "seed": seed}
    rest = {"loss": None, "auc": None, "n": 100, "steps": 8, "validation": 0.5, "validation_other": 0.4}
    rest |= {"learning_rate": 0.01, "train_images": 9, "device": "cpu", "precision": "float32", "commit": "abc"}
    return [
        LabelRow(**cell, recipe=f"{model}{labels}", labels=labels, accuracy=accuracy, **rest)
        for labels, accuracy in accuracies.items()
    ]


def test_the_page_shows_accuracy_against_labels_where_there_is_such_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, rows("exact", GOOD) + rows("mlp", POOR))
    assert "labelled sequences" not in page.write_benchmark(tmp_path).read_text()
    assert seal.is_current(tmp_path)
    table = [row for seed in (0, 1) for row in label_rows("exact", seed, {100: 0.5 + 0.1 * seed, 300: 0.8})]
    table += label_rows("not on the board", 0, {100: 0.1})
    write_csv(tmp_path / "labels.csv", table, LabelRow)
    assert not seal.is_current(tmp_path)
    drawn: list[dict[str, list[charts.Line]]] = []
    lines = charts.lines
    monkeypatch.setattr(
        charts, "lines", lambda board, curves, **more: drawn.append(curves) or lines(board, curves, **more)
    )
    assert "labelled sequences" in page.write_benchmark(tmp_path).read_text()
    (line,) = drawn[-1]["exact"]
    assert line == [(100, pytest.approx(0.55)), (300, pytest.approx(0.8))]  # the mean over seeds
    assert list(drawn[-1]) == ["exact"]


def change_the_other_page(folder: Path) -> None:
    (folder / "report.md").write_text("nothing")


def remove_the_other_page(folder: Path) -> None:
    (folder / "report.md").unlink()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write(folder, rows("exact", GOOD))
    (folder / "runs/sum/exact-cnn/seed0").mkdir(parents=True)
    (folder / "runs/sum/exact-cnn/seed0/metrics.jsonl").write_text("")  # of a run that is not finished
    page.write_benchmark(folder)
    return folder


@pytest.mark.parametrize(
    "change",
    [
        *(change_a_table, add_a_table, change_a_run, add_to_a_run),
        *(change_the_page, cut_the_page, change_the_other_page, remove_the_other_page),
    ],
)
def test_a_stale_page_is_never_taken_for_current(drawn: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = shutil.copytree(drawn, tmp_path / "page")
    assert seal.is_current(folder)
    change(folder)
    assert not seal.is_current(folder)


def test_a_page_without_its_runs_keeps_what_it_shows(drawn: Path, tmp_path: Path) -> None:
    """As in a copy of the tables and the page alone: drawn again, it would show less."""
    folder = shutil.copytree(drawn, tmp_path / "page")
    shutil.rmtree(folder / "runs")
    assert seal.is_current(folder)
    change_a_table(folder)
    assert not seal.is_current(folder)


@pytest.mark.parametrize("name", ["report/charts.py", "bench/statistics.py", "report/templates/page.html"])
def test_a_page_of_other_code_is_not_current(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    copy = shutil.copytree(
        PACKAGE, tmp_path / "digitset", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors", "*.gz")
    )
    monkeypatch.setattr(seal, "PACKAGE", copy)
    assert seal.is_current(drawn)
    (copy / name).write_text((copy / name).read_text() + " ")
    assert not seal.is_current(drawn)


def test_a_page_of_other_libraries_is_not_current(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "LIBRARIES", (*seal.LIBRARIES, "rich"))
    assert not seal.is_current(drawn)
