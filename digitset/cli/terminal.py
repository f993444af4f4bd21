"""What the command shows: tables, scores, curves made of characters, and how far a benchmark is."""

import itertools
import math
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.table import Table

from digitset.bench.executors import Progress as BenchProgress
from digitset.bench.executors import image_steps
from digitset.data.digits import count
from digitset.data.mnist import Splits
from digitset.errors import InputError
from digitset.evaluation.evaluate import version
from digitset.run import Run
from digitset.run_folder import RunFolder, Scores
from digitset.tasks import load_task
from digitset.training.progress import console

BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-~=+*#"  # the latter where output has no blocks, as a file in cp1252


def say(line: str) -> None:
    """A line as it is, however long."""
    console.print(line, highlight=False, soft_wrap=True)


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
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            say("stopping after the steps under way, with a checkpoint of each run")

    def show(self, progress: BenchProgress) -> None:
        line = self._line(progress)
        if self.live:
            self.live.update(Group(_grid_table(progress), line), refresh=True)
            return
        news = {(progress.stage, index) for index in progress.done} - self.told
        self.told |= news
        if news:
            say(line)

    def _line(self, progress: BenchProgress) -> str:
        counted = [image_steps(run) for run in progress.runs]
        total, under_way = sum(counted), sum(step for index, step in progress.steps.items() if counted[index])
        steps = sum(counted[index] for index in progress.done) + under_way
        began, before = self.clock.setdefault(progress.stage, (time.monotonic(), steps))
        rate = (steps - before) / max(1e-9, time.monotonic() - began)
        # What goes on from a checkpoint has made fewer steps than it had when it was killed: then nothing is known yet.
        rest = total - steps + progress.later
        left = f", about {_duration(rest / rate)} left" if rate > 0 and rest else ""
        left += " for all" * bool(left and progress.later)
        part = steps / total if total else len(progress.done) / max(1, len(progress.runs))
        return f"{progress.stage}: {len(progress.done)} of {len(progress.runs)} done, {part:.0%} of the steps{left}"


def _grid_table(progress: BenchProgress) -> Table:
    """A row for each task, model and encoder: how many of its runs are done, under way, and left."""
    table = Table("task", "model", "encoder", "done", "under way", "left", title=progress.stage, title_justify="left")
    rows: dict[tuple[str, str, str], list[int]] = {}
    for index, run in enumerate(progress.runs):
        rows.setdefault((run.task, run.model, run.encoder), []).append(index)
    for name, indices in rows.items():
        under_way = [index for index in indices if index in progress.steps]
        done = sum(index in progress.done for index in indices)
        shares = ", ".join(f"{progress.steps[index] / progress.runs[index].steps:.0%}" for index in under_way)
        table.add_row(*name, str(done), shares, str(len(indices) - done - len(under_way)))
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
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    bars = PLAIN_BARS if console.options.ascii_only else BARS
    return "".join(bars[round((value - low) / (high - low or 1) * (len(bars) - 1))] for value in means)


def print_table(title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def evaluation_of(run_folder: RunFolder) -> str:
    """The command that scores a run: its code is kept with it, and not executed unasked."""
    return f"digitset evaluate {run_folder.path}{' --trust' if run_folder.own_files() else ''}"


def print_run(run_folder: RunFolder) -> None:
    """What a run is, its scores and its curves."""
    run, machine, metrics = run_folder.run(), run_folder.machine(), run_folder.metrics()
    defaults = Run(task=run.task)
    changed = [f"{name}={value}" for name, value in vars(run).items() if value != getattr(defaults, name)]
    state = f"step {run_folder.last_step()} of {run.steps}, not finished"
    if run_folder.finished:
        summary = run_folder.summary()
        state = f"step {summary.steps} of {run.steps}, finished, {summary.train_seconds:.0f} s"
    several = f" in each of {machine.processes} processes" if machine.processes > 1 else ""
    precision = run_folder.precision()
    lines = {
        "run": f"{run.task}, model {run.model}, encoder {run.encoder}, seed {run.seed}",
        "settings": ", ".join(changed) or "the defaults",
        "state": state,
        "machine": f"{machine.device_name}, {machine.device}, {precision}, {machine.threads} threads{several}",
        "versions": f"digitset {machine.digitset}, torch {machine.torch}, commit {machine.commit or '-'}",
    }
    if files := run_folder.own_files():
        lines["code"] = ", ".join(f"{file} (SHA-256 {sha256})" for file, sha256 in files.items())
    if not metrics:
        lines["curves"] = "none: a published model has no metrics" if run_folder.finished else "none so far"
    for name, text in lines.items():
        say(f"{name:10}{text}")
    for split, score in (("train", "loss"), ("train", "accuracy"), ("val", "accuracy")):
        values = [line[score] for line in metrics if line.get("split") == split]
        if values:
            ends = f"{values[0]:.4f} -> {values[-1]:.4f}"
            say(f"{f'{split} {score}':16}{curve(values)}  {ends}")
    task = load_task(run.task) if run_folder.finished else None
    if metrics and run.curriculum and task and not task.single_image:
        say(f"{'':16}sequences grow over {run.curriculum:.0%} of the steps: harder, so train loss may rise")
    scores = run_folder.scores(version(task)) if task else None
    if scores is None:
        say(f"not evaluated yet: {evaluation_of(run_folder)}")
    else:
        print_scores(scores)


def print_evaluation(scores: Scores, splits: Splits, source: Path | None, own: bool) -> None:
    """Scores, after what they are of: images read from a source (None is the package), the run's own or others."""
    of = splits.kind if source is None else f"{source} ({splits.kind})"
    say(f"on {count(len(splits.test))} of {of}, set aside for testing")
    for note in splits.notes:
        say(note)
    print_scores(scores)
    if not own:
        say("other images than those of the training: these scores are not kept")


def print_scores(scores: Scores) -> None:
    """A line for each evaluation set."""
    for name, of_set in scores.items():
        low, high = of_set.interval
        values = "  ".join(f"{score} {value:.4f}" for score, value in of_set.scores.items())
        say(f"{name:10}{values}  (accuracy {low:.4f} to {high:.4f}, n {of_set.n:,})")


def print_verdicts(out: Path, baseline: str | None = None) -> None:
    """A sentence for each task of a benchmark, and where its tables and page are; why there are none, if that is so.

    With a baseline, also a sentence on each other model beside it.

    The page is written, unless it is there already as this code makes it of these tables and runs.
    """
    from digitset.bench.leaderboard import leaderboards
    from digitset.report.seal import is_current
    from digitset.report.verdicts import against_baseline, verdict

    try:
        boards = leaderboards(out)
    except InputError as error:  # all that was to be made has failed, or uses no images
        say(f"no page yet: {error}")
        return
    for board in boards:
        beside = [] if baseline is None else against_baseline(board, baseline)
        for sentence in [verdict(board), *beside]:
            say(f"{board.task}: {sentence}")
    if not is_current(out):
        write_page(out)
    say(f"tables: {out / 'results.csv'}   page: {out / 'report.html'}")


def write_page(out: Path, trust: bool = False) -> Path:
    """The page of a benchmark, written again; says so if no run is there whose predictions it could show."""
    from digitset.report.benchmark import write_benchmark  # with matplotlib, which only a page has to wait for

    page = write_benchmark(out, trust)
    if not any(out.glob("runs/*/*/seed*/model.json")):
        say(f"{out / 'runs'}: no finished runs there, so the page shows no predictions")
    return page
