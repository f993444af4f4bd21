"""What a person sees while a run trains: a bar in a terminal, a line in a notebook, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from digitset.run import Run
from digitset.training.loop import Event

console = Console(markup=False, emoji=False)  # a folder may be called [b] or :smile:
PLAIN_SECONDS = 10  # between two plain lines


class Watch:
    """Shows the training of one run: a context whose `listen` is a callback of `train`.

    A bar in a terminal; in a notebook one line that is written again and again; elsewhere a line every ten seconds.
    """

    def __init__(self, run: Run, notebook: bool | None = None) -> None:
        self.run = run
        self.notebook = console.is_jupyter if notebook is None else notebook
        self.title = f"{run.task} {run.model}-{run.encoder} seed {run.seed}"
        self.train: Event = {}
        self.validation: Event = {}
        self.started = self.printed = time.monotonic()
        self.first_step: int | None = None
        columns = [
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        ]
        self.progress = Progress(
            *columns, TimeRemainingColumn(), console=console, disable=self.notebook or not console.is_terminal
        )
        self.bar = self.progress.add_task(self.title, total=run.steps, note="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
        if self.notebook:
            print(flush=True)

    def listen(self, event: Event) -> None:
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
        if self.notebook and "split" in event:
            print(f"\r{self._line(step)}", end="", flush=True)
        elif not console.is_terminal and self._due(event):
            self.printed = time.monotonic()
            console.print(self._line(step), highlight=False, soft_wrap=True)

    def _line(self, step: int) -> str:
        left = (time.monotonic() - self.started) / max(1, step - (self.first_step or 0)) * (self.run.steps - step)
        return f"{self.title}: step {step}/{self.run.steps}  {self._note()}  {left:.0f} s left"

    def _due(self, event: Event) -> bool:
        if event.get("split") == "val" and event["step"] == self.run.steps:
            return True
        return "split" in event and time.monotonic() - self.printed > PLAIN_SECONDS

    def _note(self) -> str:
        parts: list[str] = []
        if self.train:
            parts.append(f"loss {self.train['loss']:.4f}")
        if self.validation:
            parts.append(f"validation accuracy {self.validation['accuracy']:.4f}")
        if self.train:
            parts.append(f"{self.train['images_per_second']:,.0f} images/s")
        return "  ".join(parts)
