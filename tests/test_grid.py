"""Grids: what describes one, what is refused, which rate is chosen, and that results/bench is of the committed one."""

from dataclasses import replace
from pathlib import Path

import pytest
from digitset.bench.board import Board

from digitset.bench.grid import Grid, check_cells, chosen_rates, described, read_grids, row_name
from digitset.bench.tables import Row, identity, protocol
from digitset.errors import InputError
from digitset.run import Run


@pytest.mark.parametrize(
    ("tasks", "models", "file", "words"),
    [
        ((), (), None, "--grid FILE"),
        (("sum",), (), None, "models: expected one or more"),
        (("sun",), ("exact",), None, "unknown task 'sun'"),
        (("sum",), ("exact",), Path("none.toml"), "expected either"),
        ((), (), Path("none.toml"), "there is no file"),
    ],
)
def test_what_is_no_grid(tasks: tuple[str, ...], models: tuple[str, ...], file: Path | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        described(file, False, tasks, models, seeds=None, steps=None)


def test_options_beside_a_file_are_refused() -> None:
    with pytest.raises(InputError, match="--seeds: expected with --tasks"):
        described(None, True, (), (), seeds=3, steps=None)


def test_a_grid_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(
        '[[grid]]\ntasks = ["sum"]\nmodels = ["exact", "mlp"]\nseeds = 3\nsteps = 80\naugmentation = 1\n'
        '[[grid]]\ntasks = ["classify"]\nmodels = ["mlp"]\nencoders = ["cnn", "vit"]\nlearning_rates = [0.002]\n'
    )
    first, second = read_grids(path)
    cells = first.cells()
    assert [(run.model, run.seed) for run in cells] == [(m, s) for s in range(3) for m in ("exact", "mlp")]
    assert {(run.steps, run.augmentation, run.validate_every) for run in cells} == {(80, 1.0, 8)}
    assert {(run.seed, run.steps) for run in first.trials()} == {(1_000, 20)}
    assert len(first.trials()) == 8
    assert second.trials() == []
    assert {run.learning_rate for run in second.cells()} == {0.002}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an empty file"),
        ("tasks = 3", "expected tables"),
        ("grid = []", "expected one table"),
        ("[[grid]]\nmodels = ['exact']", "expected tasks"),
        ("[[grid]]\ntasks = 'sum'\nmodels = ['exact']", "expected a list of names"),
        ("[[grid]]\ntasks = ['sum']\nmodels = ['exact']\nseeds = '5'", "expected a whole number"),
        ("[[grid]]\ntasks = ['sum']\nmodels = ['exact']\nseeds = 0", "expected at least 1"),
        ("[[grid]]\ntasks = ['sum']\nmodels = ['exact']\nsteps = 'many'", "steps"),
        ("[[grid]]\ntasks = ['sum']\nmodels = ['exact']\nsteps = 0", "expected at least 1"),
        ("[[grid]]\ntasks = ['sum']\nmodels = ['exact']\nseed = 7", "unknown 'seed'"),
        ("[[grid]]\ntasks = ['sum']\nmodels = ['exact']\nsearch_steps = 0", "search_steps: expected at least 1"),
        ("[[grid]]\ntasks = ['sum']\nmodels = ['exact']\nlearning_rates = [0.1, 0.1]", "all different"),
        ("[[grid]]\ntasks = ['sum']\nmodels = ['exact']\nlengths = [5]", "unknown 'lengths'"),
        ("[[grid]\n", "not readable as TOML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_grids(path)


def test_a_floor_has_its_own_recipe() -> None:
    for steps in (20, 9_000):
        grid = Grid(("contains",), ("constant", "exact"), ("lenet", "vit"), seeds=1, settings={"steps": steps})
        check_cells(grid.cells())
        assert {run.model for run in grid.trials()} == {"exact"}
        (floor,) = (run for run in grid.cells() if run.model == "constant")
        assert (floor.steps, floor.learning_rate, floor.curriculum) == (500, 3e-2, 0.0)
        assert {run.steps for run in grid.cells() if run.model == "exact"} == {steps}


def test_a_floor_of_other_images_is_refused(tmp_path: Path) -> None:
    floor = Grid(("sum",), ("constant",), seeds=1, settings={"data": str(tmp_path)}).cells()
    with pytest.raises(InputError, match="different settings"):
        check_cells(floor + Grid(("sum",), ("exact",), seeds=1).cells())
    board = Board(tmp_path / "out")
    (tmp_path / "out").mkdir()
    shared = {"protocol": protocol(floor[0]), "data": floor[0].data}
    board.add(floor[0], {"results": [identity(floor[0]) | shared]}, [])
    assert board.others(Grid(("sum",), ("exact",), seeds=1).cells()) == {("sum", "constant", "cnn")}


def test_the_rates_of_a_file_are_numbers_of_one_kind(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    table = '[[grid]]\ntasks = ["sum"]\nmodels = ["exact"]\nlearning_rates = '
    found = []
    for rates in ("[0.1, 1]", "[0.1, 1.0]"):
        path.write_text(table + rates)
        found.append([identity(run) for run in read_grids(path)[0].trials()])
    assert found[0] == found[1]
    path.write_text(table + "[true]")
    with pytest.raises(InputError, match="learning_rates: expected a list of numbers"):
        read_grids(path)


def test_the_committed_results_are_of_the_committed_grid() -> None:
    """Else README's tables are not what its command makes: make them anew, or keep what they were made with."""
    root = Path(__file__).parent.parent
    grids, board = read_grids(root / "benchmarks" / "grid.toml"), Board(root / "results" / "bench")
    trials = [run for grid in grids for run in grid.trials()]
    rates = chosen_rates(trials, board.slice("search", trials))
    found = [run for grid in grids for run in grid.cells()]
    cells = [replace(run, learning_rate=rates.get(row_name(run), run.learning_rate)) for run in found]
    assert [run for run in trials + cells if run not in board] == []
    assert board.others(cells) == set()
    assert len(board.cells) == len(trials + cells)


def test_one_cell_twice_is_refused() -> None:
    grid = Grid(("sum",), ("exact",), seeds=1)
    with pytest.raises(InputError, match="twice"):
        check_cells(grid.cells() + grid.cells())


def test_a_rate_that_does_not_train_is_never_chosen() -> None:
    trials = [replace(Run("sum", "exact"), learning_rate=rate) for rate in (0.0031622776, 0.001, 0.0005)]

    def found(*accuracies: str | None) -> list[Row]:
        pairs = zip(trials, accuracies, strict=True)
        return [identity(run) | ({} if accuracy is None else {"accuracy": accuracy}) for run, accuracy in pairs]

    row = ("sum", "exact", "cnn")
    assert chosen_rates(trials, found(None, "0.2", "")) == {row: 0.001}
    assert chosen_rates(trials, found("0.2", "0.2", "0.1")) == {row: 0.001}  # the lower of two that are equal
    assert chosen_rates(trials, found("0.3", "0.2", "")) == {row: 0.0031622776}  # to the last digit
    losses = [one | {"loss": loss} for one, loss in zip(found("0.2", "0.2", "0.2"), ("0.7", "0.9", "0.8"), strict=True)]
    assert chosen_rates(trials, losses) == {row: 0.0031622776}  # what a floor answers is the same at any
    assert chosen_rates(trials, found("", None, "")) == {}
    assert chosen_rates(trials, [one | {"accuracy": 0.0, "loss": 0.0} for one in found("", "", "")]) == {row: 0.0005}


def test_models_that_are_not_trained_alike_are_not_compared() -> None:
    grid = Grid(("sum",), ("exact",), seeds=1)
    with pytest.raises(InputError, match="different settings"):
        check_cells(grid.cells() + Grid(("sum",), ("mlp",), seeds=1, settings={"steps": 9}).cells())
