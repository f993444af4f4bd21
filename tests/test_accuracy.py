"""benchmarks/accuracy.py: rows that last, and only those of today's recipes."""

from dataclasses import replace
from pathlib import Path

import pytest
from accuracy import kept, make_all

from digitset import recipes
from digitset.bench import tables as results
from digitset.run import Run
from digitset.run_folder import RunFolder


def test_rows_of_todays_recipes_are_kept(tmp_path: Path) -> None:
    today, before = recipes.BEST["sum/exact"], replace(recipes.BEST["sum/exact"], steps=1)
    table = [results.identity(run) | {"accuracy": 0.5} for run in (today, before)]
    results.write_csv(tmp_path / "accuracy.csv", table)
    (row,) = kept(tmp_path / "accuracy.csv")
    assert row["recipe"] == results.identity(today)["recipe"]
    assert kept(tmp_path / "none.csv") == []


def test_a_run_gives_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run("sum", "constant", "lenet", steps=4)
    (rows,) = make_all([run], jobs=1)
    assert [row["evaluation"] for row in rows] == ["published", "random", "single"]
    assert RunFolder(tmp_path / "runs/accuracy" / run.name).finished
