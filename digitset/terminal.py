"""What a person sees while a run trains: a live bar in a terminal, plain lines elsewhere; curves made of characters."""

import itertools
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from digitset import bench, parts
from digitset.errors import InputError
from digitset.evaluation import version
from digitset.record import Record
from digitset.run import Run

console = Console()
BARS = "▁▂▃▄▅▆▇█"
PLAIN_SECONDS = 10  # between two plain lines


class Watch:
    """Shows the training of one run: a context whose `listen` is `train`'s listener."""

    def __init__(self, run: Run, prefix: str = "") -> None:
        self.run = run
        self.title = f"{prefix}{run.task} {run.model}-{run.encoder} seed {run.seed}"
        self.train: dict[str, Any] = {}
        self.validation: dict[str, Any] = {}
        self.started = self.printed = time.monotonic()
        self.first_step: int | None = None
        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
        ]
        self.progress = Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)
        self.bar = self.progress.add_task(self.title, total=run.steps, note="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def listen(self, event: dict[str, Any]) -> None:
        step = event["step"]
        if self.first_step is None:
            self.first_step = step  # 0, or where a resumed run goes on
        if "note" in event:
            console.print(event["note"], soft_wrap=True)
        if event.get("split") == "train":
            self.train = event
        if event.get("split") == "val":
            self.validation = event
        self.progress.update(self.bar, completed=step, note=self._note())
        if not console.is_terminal and self._due(event):
            self.printed = time.monotonic()
            left = (self.printed - self.started) / max(1, step - (self.first_step or 0)) * (self.run.steps - step)
            console.print(
                f"{self.title}: step {step}/{self.run.steps}  {self._note()}  {left:.0f} s left",
                highlight=False,
                soft_wrap=True,
            )

    def _due(self, event: dict[str, Any]) -> bool:
        if event.get("split") == "val" and event["step"] == self.run.steps:
            return True
        return "split" in event and time.monotonic() - self.printed > PLAIN_SECONDS

    def _note(self) -> str:
        parts = []
        if self.train:
            parts.append(f"loss {self.train['loss']:.4f}")
        if self.validation:
            parts.append(f"validation accuracy {self.validation['accuracy']:.4f}")
        if self.train:
            parts.append(f"{self.train['images_per_second']:,.0f} images/s")
        return "  ".join(parts)


class GridWatch:
    """Shows a benchmark: a context whose `show` is told of its progress. A row for each model."""

    def __init__(self) -> None:
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.clock: dict[str, tuple[float, int]] = {}  # by stage: when it began, and the steps there were then
        self.told: set[tuple[str, int]] = set()

    def __enter__(self) -> Self:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def show(self, progress: bench.Progress) -> None:
        line = self._line(progress)
        if self.live:
            self.live.update(Group(_grid_table(progress), line), refresh=True)
            return
        news = {(progress.stage, place) for place in progress.done} - self.told
        self.told |= news
        if news:
            console.print(line, highlight=False, soft_wrap=True)

    def _line(self, progress: bench.Progress) -> str:
        total = sum(run.steps for run in progress.runs)
        made = sum(progress.runs[place].steps for place in progress.done) + sum(progress.steps.values())
        began, before = self.clock.setdefault(progress.stage, (time.monotonic(), made))
        rate = (made - before) / max(1e-9, time.monotonic() - began)
        # What goes on from a checkpoint has made fewer steps than it had when it was killed: then nothing is known yet.
        left = f", about {_duration((total - made) / rate)} left" if rate > 0 and made < total else ""
        part = made / total if total else 1.0
        return f"{progress.stage}: {len(progress.done)} of {len(progress.runs)} done, {part:.0%} of the steps{left}"


def _grid_table(progress: bench.Progress) -> Table:
    """A row for each task, model and encoder: how many of its runs are done, under way, and left."""
    table = Table("task", "model", "encoder", "done", "under way", "left", title=progress.stage, title_justify="left")
    rows: dict[tuple[str, str, str], list[int]] = {}
    for place, run in enumerate(progress.runs):
        rows.setdefault((run.task, run.model, run.encoder), []).append(place)
    for name, places in rows.items():
        under_way = [place for place in places if place in progress.steps]
        done = sum(place in progress.done for place in places)
        shares = ", ".join(f"{progress.steps[place] / progress.runs[place].steps:.0%}" for place in under_way)
        table.add_row(*name, str(done), shares, str(len(places) - done - len(under_way)))
    return table


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def curve(values: list[float], width: int = 48) -> str:
    """A curve as one line of bars, from its least to its greatest value; the mean where there are more than fit."""
    if not values:
        return ""
    cells = min(width, len(values))
    edges = [round(cell * len(values) / cells) for cell in range(cells + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, high = min(means), max(means)
    return "".join(BARS[round((value - low) / (high - low or 1) * (len(BARS) - 1))] for value in means)


def print_table(title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))  # a file may be called [b]
    console.print(table)


def print_run(record: Record) -> None:
    """What a run is, its scores and its curves."""
    run, machine, metrics = record.run(), record.machine(), record.metrics()
    defaults = Run(task=run.task)
    changed = [f"{name}={value}" for name, value in vars(run).items() if value != getattr(defaults, name)]
    state = f"finished, {record.summary()['train_seconds']:.0f} s" if record.finished else "not finished"
    lines = {
        "run": f"{run.task}, model {run.model}, encoder {run.encoder}, seed {run.seed}",
        "settings": ", ".join(changed) or "the defaults",
        "state": f"step {record.last_step()} of {run.steps}, {state}",
        "machine": ", ".join(str(machine[key]) for key in ("device_name", "device", "precision"))
        + f", {machine['threads']} threads"
        + (f" in each of {machine['processes']} processes" if machine.get("processes", 1) > 1 else ""),
        "versions": f"digitset {machine['digitset']}, torch {machine['torch']}, commit {machine['commit'] or '-'}",
    }
    for name, text in lines.items():
        console.print(f"{name:10}{text}", highlight=False, soft_wrap=True)
    for split, score in (("train", "loss"), ("train", "accuracy"), ("val", "accuracy")):
        values = [line[score] for line in metrics if line.get("split") == split]
        if values:
            ends = f"{values[0]:.4f} -> {values[-1]:.4f}"
            console.print(f"{split} {score:10}{curve(values)}  {ends}", highlight=False, soft_wrap=True)
    report = record.scores(version(parts.load("tasks", run.task))) if record.finished else None
    if report is None:
        console.print(f"not evaluated yet: digitset evaluate {record.folder}", soft_wrap=True)
    else:
        print_scores(report)


def print_scores(report: dict[str, Any]) -> None:
    for name, found in report.items():
        low, high = found["interval"]
        scores = "  ".join(f"{score} {value:.4f}" for score, value in found["scores"].items())
        console.print(f"{name:10}{scores}  (accuracy {low:.4f} to {high:.4f}, n {found['n']:,})", highlight=False)


def print_verdicts(out: Path) -> None:
    """A sentence for each task of a benchmark, and where its tables and page are; why there are none, if that is so."""
    from digitset.page import verdict, write  # with matplotlib, which only a page has to wait for
    from digitset.standings import standings

    try:
        found = standings(out)
    except InputError as error:  # all that was to be made has failed, or is a floor
        console.print(f"no page yet: {error}", highlight=False, markup=False, soft_wrap=True)
        return
    for standing in found:
        console.print(f"{standing.task}: {verdict(standing)}", highlight=False, soft_wrap=True)
    console.print(f"tables: {out / 'results.csv'}   page: {write(out)}", soft_wrap=True)
