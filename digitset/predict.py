"""A trained run -> an object that answers for sequences of images."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from digitset import machine, parts
from digitset.errors import InputError
from digitset.network import Network, build, rows_of
from digitset.record import Record
from digitset.run import Run
from digitset.sequences import Batch
from digitset.tasks import Task

IMAGES_AT_ONCE = 20_000  # padded images in one batch

Images = np.ndarray | Tensor


class Predictor:
    """A trained network, ready to answer. Made by `load`."""

    def __init__(self, run: Run, network: Network, device: torch.device) -> None:
        self.run = run
        self.task: Task = parts.load("tasks", run.task)
        self.device = device
        self.network = network.to(device).eval()

    @torch.inference_mode()
    def predict(self, sequences: Sequence[Images], anchors: Images | None = None) -> Float32[np.ndarray, " B"]:
        """The answer for each sequence: the digit, the sum (not rounded), or the probability that the anchor occurs.

        `sequences`: uint8 images [n_i, 28, 28] each, n_i >= 1, as numpy arrays or tensors; white ink (255) on black
        (0), as MNIST has it. `anchors`: uint8 [B, 28, 28], one a sequence, for a task with an anchor. There may be any
        number of sequences; they are answered some at a time, and an answer depends on nothing but its own sequence.

        Raises InputError for images of another shape or type, a sequence that is empty or longer than the model takes,
        and anchors that are missing, too many, or not asked for.
        """
        answers = np.empty(len(sequences), np.float32)
        for rows, batch in self._batches(sequences, anchors):
            outputs = torch.cat(list(self.network.read_in_parts(self.network.embed_in_parts(batch.images), batch)))
            reading = self.task.read(outputs, self.network.model.output)
            answers[rows] = self.task.answer(reading).float().cpu().numpy()
        return answers

    @torch.inference_mode()
    def attention(self, sequences: Sequence[Images], anchors: Images | None = None) -> list[Float32[np.ndarray, "H _"]]:
        """The weight [heads, n_i] that each head gives to each image: from the anchor, or on average from the others.

        Arguments and errors as for `predict`; InputError also if the model does not attend.
        """
        if not hasattr(self.network.model, "attention"):
            raise InputError(f"model '{self.run.model}' has no attention; take a transformer")
        weights: list[np.ndarray] = [np.empty(0)] * len(sequences)
        for rows, batch in self._batches(sequences, anchors):
            vectors = self.network.embed_in_parts(batch.images)
            found = self.network.model.attention(*rows_of(vectors, batch)).cpu().numpy()
            for row, weight, length in zip(rows, found, batch.lengths.tolist(), strict=True):
                weights[row] = weight[:, :length]
        return weights

    def batch(self, sequences: Sequence[Images], anchors: Images | None = None) -> Batch:
        """The sequences as one batch on the predictor's device. Arguments and errors as for `predict`."""
        self._check(sequences, anchors)
        return self._batch(list(sequences), anchors)

    def distribution(self, outputs: Float[Tensor, "B _"]) -> Float[Tensor, "B A"] | None:
        """The probabilities of all answers that outputs of the network stand for; None if they are numbers alone."""
        kind = self.network.model.output
        reading = outputs if kind == "distribution" else self.task.read(outputs, kind)
        return reading.exp() if reading.dim() == 2 else None

    def _batches(self, sequences: Sequence[Images], anchors: Images | None) -> Iterator[tuple[list[int], Batch]]:
        """Sequences of like length together, in batches of bounded size, each with the places of its rows."""
        self._check(sequences, anchors)
        order = sorted(range(len(sequences)), key=lambda place: len(sequences[place]))
        rows: list[int] = []
        for place in order:
            if rows and (len(rows) + 1) * len(sequences[place]) > IMAGES_AT_ONCE:
                yield rows, self._batch([sequences[row] for row in rows], None if anchors is None else anchors[rows])
                rows = []
            rows.append(place)
        if rows:
            yield rows, self._batch([sequences[row] for row in rows], None if anchors is None else anchors[rows])

    def _batch(self, sequences: list[Images], anchors: Images | None) -> Batch:
        count = torch.tensor([len(sequence) for sequence in sequences])
        place = torch.arange(int(count.max()))
        starts = count.cumsum(0) - count
        mask = place < count[:, None]
        index = torch.where(mask, starts[:, None] + place, 0)
        pool, anchor = [_tensor(sequence) for sequence in sequences], None
        if anchors is not None:
            anchor = (int(count.sum()) + torch.arange(len(anchors))).to(self.device)
            pool.append(_tensor(anchors))
        images = torch.cat(pool).to(self.device)
        labels = torch.zeros(len(images), dtype=torch.int64, device=self.device)  # not known, and not looked at
        return Batch(images, labels, index.to(self.device), mask.to(self.device), anchor)

    def _check(self, sequences: Sequence[Images], anchors: Images | None) -> None:
        most = self.network.longest
        for place, sequence in enumerate(sequences):
            _check_images(sequence, f"sequence {place}")
            if len(sequence) == 0:
                raise InputError(f"sequence {place}: expected at least one image, got none")
            if most is not None and len(sequence) > most:
                raise InputError(
                    f"sequence {place}: expected at most {most} images for '{self.run.model}', got {len(sequence)}"
                )
        if self.task.ANCHORED and anchors is None:
            raise InputError(f"task '{self.run.task}' expects anchors, one image a sequence; got none")
        if not self.task.ANCHORED and anchors is not None:
            raise InputError(f"task '{self.run.task}' takes no anchors; leave them out")
        if anchors is not None:
            _check_images(anchors, "anchors")
            if len(anchors) != len(sequences):
                raise InputError(f"expected {len(sequences)} anchors, one a sequence, got {len(anchors)}")


def load(folder: str | Path, device: str = "auto") -> Predictor:
    """The trained network of a finished run's folder. No code from the folder is run.

    Raises InputError if the folder holds no finished run, or its weights are not those that were written.
    """
    record = Record(folder)
    run = record.run()
    weights = record.weights()
    network = build(run)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{record.folder}: weights of another version of '{run.model}' or '{run.encoder}': {error}"
        ) from error
    return Predictor(run, network, machine.device(device))


def _check_images(images: Images, name: str) -> None:
    if not isinstance(images, np.ndarray | Tensor):
        raise InputError(f"{name}: expected an array or tensor of images [n, 28, 28], got {type(images).__name__}")
    if images.ndim != 3 or tuple(images.shape[1:]) != (28, 28):
        raise InputError(f"{name}: expected images [n, 28, 28], got {list(images.shape)}")
    if images.dtype != (torch.uint8 if isinstance(images, Tensor) else np.uint8):
        raise InputError(f"{name}: expected uint8, ink 255 on 0, got {images.dtype}; scale to 0..255 and convert")


def _tensor(images: Images) -> UInt8[Tensor, "n 28 28"]:
    """A copy, since torch warns of arrays that it may not write to."""
    return torch.from_numpy(images.copy()) if isinstance(images, np.ndarray) else images.cpu()
