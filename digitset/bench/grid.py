"""Grid: which cells a benchmark is made of, from the command line or a file."""

import dataclasses
import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from digitset import recipes, registry
from digitset.bench.tables import LENGTH_ONLY, RowName, SearchRow, cell, protocol, row_name
from digitset.errors import InputError, unknown
from digitset.files import read_whole
from digitset.models import load_model
from digitset.run import Run

MOST_SEEDS = 1_000  # the search for a learning rate has the next one
MOST_CELLS = 10_000
MOST_BYTES = 1 << 20  # of a grid's file
TRIAL_SEED = 1_000  # of the search for a learning rate: no published row has it
VALIDATIONS = 10
OWN = ("task", "model", "encoder", "seed", "learning_rate", "validate_every", "lengths")  # not for a grid to set


@dataclass(frozen=True)
class Grid:
    """Tasks x models x encoders x seeds, all with the same settings, but for the learning rate.

    That is chosen for each task, model and encoder among `learning_rates`: the one with the highest accuracy on
    validation images at the end of a run of `search_steps` with a seed that no cell has. One rate is taken as it is.

    Tasks, models and encoders are names, or paths of files of your own. `settings` are fields of Run; others are those
    of `recipes.brief`, the same for all models of a task. A model that uses no images (the length-only baseline) has to
    converge: it has a recipe and a learning rate of its own.
    """

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    encoders: tuple[str, ...] = ("cnn",)
    seeds: int = 5
    learning_rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3, 8e-3)
    search_steps: int | None = None  # None is a quarter of a cell's
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in registry.FOLDERS:
            resolved = tuple(registry.resolve(folder, name) for name in getattr(self, folder))
            object.__setattr__(self, folder, resolved)
        for name in ("tasks", "models", "encoders", "learning_rates"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise InputError(f"a grid's {name}: expected one or more, all different, got {list(values)}")
        for name in ("seeds", "search_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"a grid's {name}: expected at least 1, got {value}")
        if self.seeds > MOST_SEEDS:
            raise InputError(f"a grid's seeds: expected at most {MOST_SEEDS:,}, got more")
        if (cells := len(self._rows()) * max(self.seeds, len(self.learning_rates))) > MOST_CELLS:
            raise InputError(f"a grid: expected at most {MOST_CELLS:,} runs, got {cells:,}: take fewer seeds or models")
        known = [field.name for field in dataclasses.fields(Run) if field.name not in OWN]
        for name in self.settings:
            if name not in known:
                raise InputError(f"a grid's settings: unknown '{name}': expected some of {', '.join(known)}")
        self.cells()  # so that a wrong value is said now
        self.trials()

    def cells(self) -> list[Run]:
        """All runs, the seeds going round: every row has its first seed before any has its second."""
        return list(self._cells)

    def trials(self) -> list[Run]:
        """The short runs that a learning rate is chosen by; none where there is one rate only."""
        return list(self._trials)

    # Made once: a benchmark asks for them several times, and each run is checked as it is made.
    @cached_property
    def _cells(self) -> list[Run]:
        rows = [self._run(row) for row in self._rows()]
        return [replace(run, seed=seed) for seed in range(self.seeds) for run in rows]

    @cached_property
    def _trials(self) -> list[Run]:
        runs: list[Run] = []
        for run in map(self._run, self._rows()):
            steps = max(1, run.steps // 4) if self.search_steps is None else self.search_steps
            changes = {"seed": TRIAL_SEED, "steps": steps, "validate_every": steps}
            if len(self.rates(run)) > 1:
                runs += [replace(run, learning_rate=rate, **changes) for rate in self.rates(run)]
        return runs

    def rates(self, run: Run) -> tuple[float, ...]:
        """The learning rates that are tried for a cell."""
        return self.learning_rates if _uses_images(run.model) else (run.learning_rate,)

    def _rows(self) -> list[RowName]:
        """A model that uses no images has one row, whatever the encoders are."""
        return [
            (task, model, encoder)
            for task in self.tasks
            for model in self.models
            for encoder in (self.encoders if _uses_images(model) else (Run.encoder,))
        ]

    def _run(self, row: RowName) -> Run:
        settings = {**Run(*row).to_json(), **recipes.brief(row[0], uses_images=True), **self.settings}
        settings["learning_rate"] = self.learning_rates[0]
        run = Run.from_json(settings, "a grid's settings")
        if not _uses_images(run.model):
            run = replace(run, encoder_options={}, **recipes.LENGTH_ONLY)
        return replace(run, validate_every=max(1, run.steps // VALIDATIONS))


def _uses_images(model: str) -> bool:
    return load_model(model).uses_images


# In a minute or two a page with everything on it, from training too short to mean anything.
QUICK = [
    Grid(("classify",), ("mlp",), seeds=2, learning_rates=(4e-3,), settings={"steps": 20}),
    Grid(("sum",), ("constant", "mlp", "exact"), seeds=2, learning_rates=(2e-3, 8e-3), settings={"steps": 20}),
    Grid(("contains",), ("constant", "transformer"), seeds=2, learning_rates=(4e-3,), settings={"steps": 20}),
]
QUICK_TASKS, QUICK_MODELS = ("sum", "contains"), ("constant", "mlp", "transformer")  # beside what is named


def described(
    file: Path | None,
    quick: bool,
    tasks: tuple[str, ...],
    models: tuple[str, ...],
    encoders: tuple[str, ...] | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    learning_rates: tuple[float, ...] | None = None,
) -> list[Grid]:
    """The grids that a command line asks for, in one of three ways. Raises InputError if it is none or several.

    With `quick`, tasks and models are those that are named, else a few; the rest is small where it is not named.
    """
    named = bool(tasks or models)
    if (file is not None) + (named or quick) != 1:
        raise InputError("expected either --grid FILE, or --tasks and --models, or --quick, perhaps with these")
    more = {"encoders": encoders, "seeds": seeds, "steps": steps, "learning_rates": learning_rates}
    given: dict[str, Any] = {name: value for name, value in more.items() if value is not None}
    if not named and given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"{options}: expected with --tasks and --models only; a --grid says it itself")
    if file is not None:
        return read_grids(file)
    if quick and not named:
        return QUICK
    if quick:
        tasks, models = tasks or QUICK_TASKS, models or QUICK_MODELS
        given = {"seeds": 2, "learning_rates": (4e-3,), "steps": 20} | given
    settings = {"steps": given.pop("steps")} if "steps" in given else {}
    return [Grid(tasks, models, **given, settings=settings)]


def read_grids(path: Path) -> list[Grid]:
    """The grids of a TOML file: tables `[[grid]]`, whose keys are fields of Grid, or fields of Run (its settings).

    Raises InputError for a file that is not there or not TOML, for unknown keys and for values of the wrong type.
    """
    try:
        values = tomllib.loads(read_whole(path, MOST_BYTES, "--grid, a TOML file").decode())
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # no TOML, no text, an integer of 5,000 digits, levels without end
        raise InputError(f"{path}: not readable as TOML: {str(error)[:200]}") from None
    tables = values.get("grid")
    if set(values) != {"grid"} or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError(
            f"{path}: expected tables [[grid]] and nothing else, got {', '.join(values) or 'an empty file'}"
        )
    if not tables:
        raise InputError(f"{path}: expected one table [[grid]] or more, got none")
    return [_grid(table, f"{path}, grid {index + 1}") for index, table in enumerate(tables)]


def _grid(table: dict[str, Any], where: str) -> Grid:
    own = {name: table[name] for name in table if name in {field.name for field in dataclasses.fields(Grid)}}
    settings = {name: value for name, value in table.items() if name not in own}
    for name in ("tasks", "models", "encoders", "learning_rates"):
        value, numbers = own.get(name, []), name == "learning_rates"
        if not isinstance(value, list) or not {type(item) for item in value} <= ({int, float} if numbers else {str}):
            of = "numbers" if numbers else "names"
            raise InputError(f"{where}: {name}: expected a list of {of}, such as {name} = [...], got {value!r}")
        own |= {name: tuple(map(float, value) if numbers else value)} if name in own else {}
    for name in ("seeds", "search_steps"):
        if type(own.get(name, 1)) is not int:
            raise InputError(f"{where}: {name}: expected a whole number, got {own[name]!r}")
    for name in ("tasks", "models"):
        if name not in own:
            raise InputError(f"{where}: expected {name} = [...], found none")
    if "settings" in own:
        raise InputError(f"{where}: expected fields of a run beside the others, got a table 'settings'")
    try:
        return Grid(**own, settings=settings)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def expect_baseline(grids: Iterable[Grid], name: str) -> str:
    """The name of a model that the others are told against. Raises InputError if it is none of the grids' models."""
    models = list(dict.fromkeys(model for grid in grids for model in grid.models))
    name = registry.resolve("models", name) if name.endswith(registry.SUFFIX) else name
    if name not in models:
        raise InputError(f"--baseline: {unknown('model', name, models)}, which this benchmark trains")
    return name


def check_cells(cells: Iterable[Run]) -> None:
    """Raises InputError where two cells have one name, or where those of one task are not trained alike."""
    seen: set[str] = set()
    protocols: dict[tuple[str, bool], str] = {}
    folders: set[tuple[Path | None, bool]] = set()
    for run in cells:
        if run.name in seen:
            raise InputError(f"the grid has {run.name} twice; leave one out")
        seen.add(run.name)
        folders.add((run.data, run.transpose))
        if len(folders) > 1:
            raise InputError("the grid has cells of different data: take one benchmark for each")
        own = protocol(run)
        if protocols.setdefault((run.task, own.startswith(LENGTH_ONLY)), own) != own:
            raise InputError(
                f"the grid trains models of task {run.task} with different settings, so they cannot be compared; "
                "give all the same"
            )


def chosen_rates(trials: list[Run], rows: list[SearchRow]) -> dict[RowName, float]:
    """The learning rate of each row with the highest accuracy on validation images.

    Of two that are equal it is the one with the lower loss; then the lower one. `rows` has one for each trial. A row
    that diverged with all of its rates is left out.
    """
    by_cell = {row.cell: row for row in rows}
    best: dict[RowName, tuple[float, float, float]] = {}
    for run in trials:
        row = by_cell.get(cell(run))
        accuracy, loss = (row.accuracy, row.loss) if row else (None, None)
        candidate = (
            -math.inf if accuracy is None else accuracy,
            -math.inf if loss is None else -loss,
            -run.learning_rate,
        )
        best[row_name(run)] = max(best.get(row_name(run), candidate), candidate)
    return {name: -rate for name, (accuracy, _, rate) in best.items() if accuracy > -math.inf}
