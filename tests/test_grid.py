"""Grids: what describes one, what is refused, which rate is chosen, and that results/bench is of the committed one."""

from dataclasses import replace
from pathlib import Path

import pytest
from test_structure import copied, python

from digitset.bench.grid import Grid, check_cells, chosen_rates, described, expect_baseline, read_grids
from digitset.bench.tables import (
    CellRows,
    ResultRow,
    ResultTables,
    SearchRow,
    data_name,
    identity,
    protocol,
    read_csv,
    row_name,
    write_csv,
)
from digitset.data.mnist import PACKAGED_CHECKSUM
from digitset.errors import InputError
from digitset.run import Run

ROOT = Path(__file__).parent.parent
BENCH = ROOT / "results" / "bench"

# Of the fields of a run: those that do not decide its weights, then those that do, the seed left out.
WHERE = {"device": "cpu", "checkpoint_every": 7, "data": Path("elsewhere"), "transpose": True}
OTHER_VALUES = {
    "training_sequences": 100,
    "task": "maximum",
    "model": "mlp",
    "encoder": "lenet",
    "steps": 9,
    "images_per_step": 64,
    "sequences_per_step": 64,
    "lengths": (2, 3),
    "curriculum": 0.5,
    "learning_rate": 1e-3,
    "optimizer": "muon",
    "warmup_fraction": 0.2,
    "weight_decay": 0.1,
    "max_grad_norm": 2.0,
    "ema_decay": 0.9,
    "augmentation_strength": 0.1,
    "width": 64,
    "model_options": {"hidden": 8},
    "encoder_options": {"channels": 8},
    "precision": "float32",
    "validate_every": 7,
}

# What a process does in a copy of the package whose runs have one field more.
FIELD_MORE = """
import sys
from dataclasses import replace
from pathlib import Path

import digitset
from digitset.bench.grid import chosen_rates, read_grids
from digitset.bench.tables import ResultTables, row_name
from digitset.inference import pretrained

for name in pretrained.names():
    assert digitset.load(name, "cpu").run.beta2 == 0.99
grids, tables = read_grids(Path(sys.argv[1])), ResultTables(Path(sys.argv[2]))
trials = [run for grid in grids for run in grid.trials()]
rates = chosen_rates(trials, tables.search(trials))
cells = [run for grid in grids for run in grid.cells()]
cells = [replace(run, learning_rate=rates.get(row_name(run), run.learning_rate)) for run in cells]
missing = [run.name for run in trials + cells if run not in tables]
print(len(pretrained.names()), len(trials + cells), "missing:", *missing)
"""


@pytest.mark.parametrize(
    ("tasks", "models", "file", "words"),
    [
        ((), (), None, "--grid FILE"),
        (("sum",), (), None, "models: expected one or more"),
        (("sun",), ("exact",), None, "unknown task 'sun'"),
        (("sum",), ("exact",), Path("none.toml"), "expected either"),
        ((), (), Path("none.toml"), "found no such file"),
    ],
)
def test_what_is_no_grid(tasks: tuple[str, ...], models: tuple[str, ...], file: Path | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        described(file, False, tasks, models, seeds=None, steps=None)


def test_options_beside_a_file_are_refused() -> None:
    with pytest.raises(InputError, match="--seeds: expected with --tasks"):
        described(None, True, (), (), seeds=3, steps=None)


def test_quick_takes_names() -> None:
    (grid,) = described(None, True, ("maximum",), (), seeds=None, steps=None)
    assert grid.tasks == ("maximum",)
    assert "transformer" in grid.models
    assert {run.steps for run in grid.cells() if run.model != "constant"} == {20}
    (grid,) = described(None, True, (), ("exact",), seeds=3, steps=7)
    assert (grid.models, grid.seeds, grid.settings) == (("exact",), 3, {"steps": 7})
    assert not grid.trials()


def test_a_baseline_is_one_of_the_models() -> None:
    grids = [Grid(("sum",), ("exact", "mlp"))]
    assert expect_baseline(grids, "mlp") == "mlp"
    with pytest.raises(InputError, match="--baseline: unknown model 'exct': did you mean 'exact'"):
        expect_baseline(grids, "exct")


def test_a_grid_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(
        '[[grid]]\ntasks = ["sum"]\nmodels = ["exact", "mlp"]\nseeds = 3\nsteps = 80\naugmentation_strength = 1\n'
        '[[grid]]\ntasks = ["classify"]\nmodels = ["mlp"]\nencoders = ["cnn", "vit"]\nlearning_rates = [0.002]\n'
    )
    first, second = read_grids(path)
    cells = first.cells()
    assert [(run.model, run.seed) for run in cells] == [(m, s) for s in range(3) for m in ("exact", "mlp")]
    assert {(run.steps, run.augmentation_strength, run.validate_every) for run in cells} == {(80, 1.0, 8)}
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


def test_the_length_only_baseline_has_its_own_recipe() -> None:
    for steps in (20, 9_000):
        grid = Grid(("contains",), ("constant", "exact"), ("lenet", "vit"), seeds=1, settings={"steps": steps})
        check_cells(grid.cells())
        assert {run.model for run in grid.trials()} == {"exact"}
        (length_only,) = (run for run in grid.cells() if run.model == "constant")
        assert (length_only.steps, length_only.learning_rate, length_only.curriculum) == (500, 3e-2, 0.0)
        assert {run.steps for run in grid.cells() if run.model == "exact"} == {steps}


def result_row(run: Run, checksum: str = PACKAGED_CHECKSUM) -> ResultRow:
    """A row of results of a run on the data with this checksum."""
    return ResultRow(
        **identity(run),
        evaluation="published",
        n=9_990,
        accuracy=0.5,
        accuracy_low=0.49,
        accuracy_high=0.51,
        loss=None,
        mae=None,
        auc=None,
        parameters=10,
        train_steps=run.steps,
        train_images=10,
        train_seconds=1.0,
        images_per_second=10.0,
        device="cpu",
        precision="float32",
        threads=1,
        commit="",
        learning_rate=run.learning_rate,
        train_flops=None,
        protocol=protocol(run),
        data=data_name(checksum),
    )


def test_a_length_only_baseline_of_other_images_is_refused(tmp_path: Path) -> None:
    elsewhere = Grid(("sum",), ("constant",), seeds=1, settings={"data": str(tmp_path)}).cells()
    here = Grid(("sum",), ("exact",), seeds=1).cells()
    with pytest.raises(InputError, match="different data"):
        check_cells(elsewhere + here)
    tables = ResultTables(tmp_path)
    for checksum, others in (("0123456789abcdef", {("sum", "constant", "cnn")}), (PACKAGED_CHECKSUM, set())):
        tables.add(elsewhere[0], CellRows(results=[result_row(elsewhere[0], checksum)]), [])
        assert ResultTables(tmp_path).others(here, {None: PACKAGED_CHECKSUM}) == others


def test_rows_of_other_settings_cannot_stand_beside_a_grid(tmp_path: Path) -> None:
    (run,) = Grid(("sum",), ("exact",), seeds=1).cells()
    row = result_row(run)
    rule = replace(row, model="classifier + rule", protocol="of a classifier")
    for changed, others in (
        (row, set()),
        (rule, set()),
        (replace(row, recipe="another"), {("sum", "exact", "cnn")}),
        (replace(row, model="mlp"), set()),
        (replace(row, model="mlp", protocol="another"), {("sum", "mlp", "cnn")}),
        (replace(row, task="maximum", protocol="another"), set()),  # a task that the grid does not have
    ):
        tables = ResultTables(tmp_path / "none")
        tables.cells[changed.cell] = CellRows(results=[changed])
        assert tables.others([run], {None: PACKAGED_CHECKSUM}) == others, changed


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
    grids, tables = read_grids(ROOT / "benchmarks" / "grid.toml"), ResultTables(BENCH)
    trials = [run for grid in grids for run in grid.trials()]
    rates = chosen_rates(trials, tables.search(trials))
    of_grids = [run for grid in grids for run in grid.cells()]
    cells = [replace(run, learning_rate=rates.get(row_name(run), run.learning_rate)) for run in of_grids]
    assert [run for run in trials + cells if run not in tables] == []
    assert tables.others(cells, {None: PACKAGED_CHECKSUM}) == set()
    assert len(tables.cells) == len(trials + cells)


def test_rows_that_are_read_and_written_are_the_same_bytes(tmp_path: Path) -> None:
    rows = read_csv(BENCH / "results.csv", ResultRow)
    assert {type(row.seed) for row in rows} == {int}
    assert {type(row.accuracy) for row in rows} == {float}
    assert {type(row.train_flops) for row in rows} == {int, type(None)}
    assert {type(row.commit) for row in rows} == {str}
    write_csv(tmp_path / "results.csv", rows, ResultRow)
    assert (tmp_path / "results.csv").read_bytes() == (BENCH / "results.csv").read_bytes()


def test_the_recipe_covers_what_decides_the_weights(tmp_path: Path) -> None:
    run = Run("sum", "exact")
    assert OTHER_VALUES.keys() | {"seed", *WHERE} == vars(run).keys()
    recipe = identity(run)["recipe"]
    for name, value in (WHERE | {"data": tmp_path}).items():
        assert identity(replace(run, **{name: value}))["recipe"] == recipe, name
        assert name not in replace(run, **{name: value}).settings()
    assert identity(replace(run, seed=1))["recipe"] == recipe
    recipes = [identity(replace(run, **{name: value}))["recipe"] for name, value in OTHER_VALUES.items()]
    assert len({recipe, *recipes}) == 1 + len(OTHER_VALUES)


def test_settings_name_no_default() -> None:
    assert Run("sum").settings() == {"task": "sum", "model": "transformer", "encoder": "cnn"}
    assert Run("sum", steps=Run.steps, model_options={}).settings() == Run("sum").settings()
    for name, value in OTHER_VALUES.items():
        run = replace(Run("sum", "exact"), **{name: value})
        assert run.settings() == Run("sum", "exact").settings() | {name: run.to_json()[name]}
        assert name not in run.settings(without=(name,))


def test_a_field_added_to_run_keeps_models_and_results(tmp_path: Path) -> None:
    root = copied(tmp_path)
    file = root / "digitset" / "run.py"
    text = file.read_text()
    assert text.count("    width: int = 128\n") == 1
    file.write_text(text.replace("    width: int = 128\n", "    beta2: float = 0.99\n    width: int = 128\n"))
    said = python(root, "-c", FIELD_MORE, str(ROOT / "benchmarks" / "grid.toml"), str(BENCH))
    models, runs, _, *missing = said.split()
    assert missing == []
    assert int(models) == len(list((root / "digitset/inference/pretrained").glob("*/*/model.json"))) > 0
    assert int(runs) == len(ResultTables(BENCH).cells)


def test_a_run_of_version_0_1_is_read() -> None:
    old = {"task": "sum", "pool": 64, "sequences": 32, "clip": 2, "average": 0.5, "warmup": 0.2, "augmentation": 0}
    run = Run("sum", images_per_step=64, sequences_per_step=32, max_grad_norm=2.0, ema_decay=0.5)
    assert Run.from_json(old) == replace(run, warmup_fraction=0.2, augmentation_strength=0.0)
    for wrong, words in (({"images_per_step": 1}, "pool and images_per_step"), ({"polo": 1}, "unknown keys polo")):
        with pytest.raises(InputError, match=words):
            Run.from_json(old | wrong)


def test_one_cell_twice_is_refused() -> None:
    grid = Grid(("sum",), ("exact",), seeds=1)
    with pytest.raises(InputError, match="twice"):
        check_cells(grid.cells() + grid.cells())


def test_a_rate_that_does_not_train_is_never_chosen() -> None:
    trials = [replace(Run("sum", "exact"), learning_rate=rate) for rate in (0.0031622776, 0.001, 0.0005)]

    def rows(*accuracies: float | None, losses: tuple[float | None, ...] = (None, None, None)) -> list[SearchRow]:
        return [
            SearchRow(**identity(run), learning_rate=run.learning_rate, steps=9, accuracy=accuracy, loss=loss)
            for run, accuracy, loss in zip(trials, accuracies, losses, strict=True)
        ]

    name = ("sum", "exact", "cnn")
    assert chosen_rates(trials, rows(None, 0.2, None)) == {name: 0.001}
    assert chosen_rates(trials, rows(0.2, 0.2, 0.1)) == {name: 0.001}  # the lower of two that are equal
    assert chosen_rates(trials, rows(0.3, 0.2, None)) == {name: 0.0031622776}  # to the last digit
    equal = rows(0.2, 0.2, 0.2, losses=(0.7, 0.9, 0.8))
    assert chosen_rates(trials, equal) == {name: 0.0031622776}  # accuracies in few steps are often equal
    assert chosen_rates(trials, rows(None, None, None)) == {}
    assert chosen_rates(trials, rows(0.0, 0.0, 0.0, losses=(0.0, 0.0, 0.0))) == {name: 0.0005}


def test_models_that_are_not_trained_alike_are_not_compared() -> None:
    grid = Grid(("sum",), ("exact",), seeds=1)
    with pytest.raises(InputError, match="different settings"):
        check_cells(grid.cells() + Grid(("sum",), ("mlp",), seeds=1, settings={"steps": 9}).cells())


def test_a_search_on_other_data_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    run = Run("sum", "exact", seed=1000)
    row = SearchRow(**identity(run), learning_rate=1e-3, steps=9, accuracy=0.5, loss=1.0, data="0123456789ab")
    tables = ResultTables(tmp_path)
    tables.add(run, CellRows(search=[row]), [run])
    assert ResultTables(tmp_path).others([run], {None: PACKAGED_CHECKSUM}) == {("sum", "exact", "cnn")}
    assert ResultTables(tmp_path).others([run], {None: "0123456789ab" + 52 * "0"}) == set()


def test_one_benchmark_has_one_data_set() -> None:
    with pytest.raises(InputError, match="different data"):
        check_cells([Run("classify", "mlp", data=Path("a")), Run("sum", "exact", data=Path("b"))])


@pytest.mark.parametrize("lengths", [[], [1], [1, 2, 3], [1, 2.5], "1 2"])
def test_lengths_are_two_whole_numbers(lengths: object) -> None:
    with pytest.raises(InputError, match="lengths: expected"):
        Run.from_json({"task": "sum", "lengths": lengths})


def test_a_whole_number_and_the_same_fraction_are_one_setting() -> None:
    assert identity(Run("sum", learning_rate=1)) == identity(Run("sum", learning_rate=1.0))
