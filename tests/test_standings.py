"""Verdicts on made-up tables: what is claimed, what is not, and what the page says of floor and ceiling."""

from pathlib import Path

import pytest

from digitset import page
from digitset.errors import InputError
from digitset.results import Row, write_csv
from digitset.standings import standings


def rows(model: str, accuracies: list[float], task: str = "sum", encoder: str = "cnn") -> list[Row]:
    common = {"task": task, "model": model, "encoder": encoder, "recipe": model, "evaluation": "published", "n": 9990}
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
    assert "one seed carries no test" in page.verdict(standing)
    assert page.pair_table(standing, "exact") == []
    assert set(standing.ranks.values()) == {1}


def test_the_page_says_who_is_out_of_bounds(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("mlp", [0.03] * 5), rows("constant", [0.06] * 5), rows("ceiling", POOR))
    (standing,) = standings(tmp_path)
    above, below = standing.bounds()
    assert above.startswith("exact (0.9710) is above the ceiling (0.4040)")
    assert below.startswith("mlp (0.0300) is below the floor (0.0600)")
    page.write(tmp_path)
    for name in ("report.html", "report.md"):
        assert above in (tmp_path / name).read_text()


def test_seeds_and_test_set_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("mlp", POOR))
    (standing,) = standings(tmp_path)
    exact = standing.names["exact"]
    assert exact.test_error == pytest.approx(0.004 / 1.96, rel=1e-3)
    mean = exact.mean("accuracy")
    assert mean is not None
    assert mean.deviation == pytest.approx(0.00158, abs=1e-5)


def test_encoders_are_compared_by_name(tmp_path: Path) -> None:
    write(tmp_path, rows("mlp", GOOD, "classify", "cnn"), rows("mlp", POOR, "classify", "vit"))
    (standing,) = standings(tmp_path)
    assert list(standing.names) == ["cnn", "vit"]
    assert "cnn has the highest" in page.verdict(standing)


def test_a_task_with_a_ceiling_alone_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, rows("exact", GOOD), rows("ceiling", GOOD, "maximum"))
    assert [standing.task for standing in standings(tmp_path)] == ["sum"]


def test_other_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="expected the columns"):
        standings(tmp_path)
