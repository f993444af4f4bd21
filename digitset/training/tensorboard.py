"""The lines of metrics.jsonl for TensorBoard, in an event file beside them. Needs digitset[tensorboard]."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from digitset.errors import InputError
from digitset.run_folder import RunFolder
from digitset.training.loop import Event

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FILES = "events.out.tfevents.*"


class EventFile:
    """Writes the numbers of each line of metrics as scalars: a context whose `listen` is a callback of `train`.

    `folder` is the run's. A scalar is named like train/loss or val/accuracy. Each process of training begins a file; a
    run that is resumed says in it which steps it will do again, so that TensorBoard shows each step once. If there is
    none of an earlier process, the lines so far are written first.

    Raises InputError if TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InputError("--tensorboard needs TensorBoard: install digitset[tensorboard]") from None
        self._new, self.folder = SummaryWriter, Path(folder)
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def listen(self, event: Event) -> None:
        writer = self._writer or self._begin(event["step"])
        if "split" in event:
            _write(writer, event)
            writer.flush()  # a kill costs no line that metrics.jsonl has

    def _begin(self, step: int) -> "SummaryWriter":
        """A writer after a step; at the first event the folder is there, and lines after that step are not."""
        first = not any(self.folder.glob(FILES))
        self._writer = self._new(str(self.folder), purge_step=None if first else step + 1)
        if first:
            for line in RunFolder(self.folder).metrics():
                _write(self._writer, line)
        return self._writer


def _write(writer: "SummaryWriter", line: Event) -> None:
    for name in line.keys() - {"step", "split", "note"}:
        writer.add_scalar(f"{line['split']}/{name}", line[name], line["step"])  # pyright: ignore[reportUnknownMemberType]
