"""benchmarks/accuracy.py: rows that last, and only those of today's recipes."""

from dataclasses import replace
from pathlib import Path

import pytest
from accuracy import kept, make_all
from test_grid import result_row

from digitset import recipes
from digitset.bench.tables import ResultRow, identity, read_csv, write_csv
from digitset.run import Run
from digitset.run_folder import RunFolder


def test_rows_of_todays_recipes_are_kept(tmp_path: Path) -> None:
    today, before = recipes.BEST["sum/exact"], replace(recipes.BEST["sum/exact"], steps=1)
    path = tmp_path / "accuracy.csv"
    write_csv(path, [result_row(run) for run in (today, before)], ResultRow)
    assert [row.recipe for row in read_csv(path, ResultRow)] == [identity(run)["recipe"] for run in (today, before)]
    (row,) = kept(path)
    assert row.recipe == identity(today)["recipe"]
    assert kept(tmp_path / "none.csv") == []


def test_the_committed_rows_are_of_todays_recipes() -> None:
    path = Path(__file__).parent.parent / "results" / "accuracy.csv"
    rows = kept(path)
    assert rows == read_csv(path, ResultRow)
    for name, run in recipes.BEST.items():
        seeds = {row.seed for row in rows if row.recipe == identity(run)["recipe"]}
        assert seeds == set(range(len(seeds))), name


def test_a_run_gives_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run("sum", "constant", "lenet", steps=4)
    (rows,) = make_all([run], jobs=1)
    assert [row.evaluation for row in rows] == ["published", "random", "single"]
    assert {row.recipe for row in rows} == {identity(run)["recipe"]}
    assert RunFolder(tmp_path / "runs/accuracy" / run.name).finished
