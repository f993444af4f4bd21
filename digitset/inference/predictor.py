"""A trained run -> an object that answers for sequences of images."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from digitset.data.sequences import Batch
from digitset.device import choose_device, plain_torch
from digitset.errors import InputError, meant
from digitset.inference import hub, pretrained
from digitset.inference.inputs import batches_by_length, check_inputs, warn_of_scale
from digitset.models import Attends
from digitset.network import Experiment, Network
from digitset.run import Run
from digitset.run_folder import RunFolder
from digitset.tasks import Task

IMAGES_AT_ONCE = 20_000  # padded images in one batch

Images = np.ndarray | Tensor


class Predictor:
    """A trained network, ready to answer. Made by `load`.

    `run` is the configuration of its training, `experiment` the same with its parts, and `task` what is asked.
    `network` is a torch module in evaluation mode on `device`, and `path` the folder it was loaded from, if it was.
    """

    def __init__(self, run: Run, network: Network, device: torch.device, path: Path | None = None) -> None:
        self.experiment = Experiment.of(run)
        self.path = path
        self.device = device
        self.network = network.to(device).eval()

    def __repr__(self) -> str:
        run = self.run
        at_most = "any number of" if self.network.longest is None else f"at most {self.network.longest}"
        return f"trained model {run.task}/{run.model} on {run.encoder}: {self.task.question} Takes {at_most} images."

    @property
    def run(self) -> Run:
        return self.experiment.run

    @property
    def task(self) -> Task:
        return self.experiment.task

    def predict(self, sequences: Sequence[Images], anchors: Images | None = None) -> Float32[np.ndarray, " B"]:
        """The answer for each sequence: the digit, the sum (not rounded), or the probability that the anchor occurs.

        `sequences`: uint8 images [n_i, 28, 28] each, n_i >= 1, as numpy arrays or tensors; white ink (255) on black
        (0), as MNIST has it. `anchors`: uint8 [B, 28, 28], one a sequence, for a task with an anchor. There may be any
        number of sequences; they are answered some at a time, and an answer depends on nothing but its own sequence.

        Raises InputError for images of another shape or type, a sequence that is empty or longer than the model takes,
        and anchors that are missing, too many, or not asked for. Warns of images that look as if their pixels were from
        0 to 1, or their ink dark on light paper.

        Several threads may ask at once. They share the cores, so that one call with all sequences takes less time.
        """
        self._check(sequences, anchors)
        warn_of_scale(sequences)
        return self._answers(sequences, anchors)

    @plain_torch()
    @torch.inference_mode()
    def _answers(self, sequences: Sequence[Images], anchors: Images | None) -> Float32[np.ndarray, " B"]:
        answers = np.empty(len(sequences), np.float32)
        for rows, output in self._outputs(sequences, anchors):
            prediction = self.task.decode(output, self.network.model.output_kind)
            answers[rows] = self.task.answer(prediction).float().cpu().numpy()
        return answers

    def predict_proba(self, sequences: Sequence[Images], anchors: Images | None = None) -> Float32[np.ndarray, "B A"]:
        """The probability of each answer for each sequence: of the ten digits, of no and yes, of all sums from 0.

        A is how many answers the longest sequence can have; those that are impossible for a shorter one have 0.
        Arguments, errors and warnings as for `predict`; InputError also if the model answers with a number alone.
        """
        self._check(sequences, anchors)
        warn_of_scale(sequences)
        return self._probabilities(sequences, anchors)

    @plain_torch()
    @torch.inference_mode()
    def _probabilities(self, sequences: Sequence[Images], anchors: Images | None) -> Float32[np.ndarray, "B A"]:
        parts: list[tuple[list[int], np.ndarray]] = []
        for rows, output in self._outputs(sequences, anchors):
            probabilities = self.task.probabilities(output, self.network.model.output_kind)
            if probabilities is None:
                raise InputError(
                    f"model '{self.run.model}' answers '{self.run.task}' with a number, without probabilities; take "
                    "one whose output is a distribution, such as exact"
                )
            parts.append((rows, probabilities.float().cpu().numpy()))
        answers = np.zeros((len(sequences), max((part.shape[1] for _, part in parts), default=0)), np.float32)
        for rows, part in parts:
            answers[rows, : part.shape[1]] = part
        return answers

    @plain_torch()
    @torch.inference_mode()
    def attention(self, sequences: Sequence[Images], anchors: Images | None = None) -> list[Float32[np.ndarray, "H _"]]:
        """The weight [heads, n_i] that each head gives to each image: from the anchor, or on average from the others.

        Arguments and errors as for `predict`; InputError also if the model does not attend.
        """
        model = self.network.model
        if not isinstance(model, Attends):
            raise InputError(f"model '{self.run.model}' has no attention; take a transformer")
        self._check(sequences, anchors)
        weights: list[np.ndarray] = [np.empty(0)] * len(sequences)
        for rows, batch in self._batches(sequences, anchors):
            vectors = self.network.embed_in_parts(batch.images)
            of_batch = model.attention(*batch.gather(vectors)).cpu().numpy()
            for row, weight, length in zip(rows, of_batch, batch.lengths.tolist(), strict=True):
                weights[row] = weight[:, :length]
        return weights

    @plain_torch()
    def batch(self, sequences: Sequence[Images], anchors: Images | None = None) -> Batch:
        """The sequences as one batch on the predictor's device. Arguments and errors as for `predict`."""
        self._check(sequences, anchors)
        return self._batch(list(sequences), anchors)

    def _check(self, sequences: Sequence[Images], anchors: Images | None) -> None:
        check_inputs(sequences, anchors, self.run.task, self.task.anchored, self.run.model, self.network.longest)

    def _batches(self, sequences: Sequence[Images], anchors: Images | None) -> Iterator[tuple[list[int], Batch]]:
        """Checked sequences of like length together, in batches of bounded size, each with the indices of its rows."""
        for rows in batches_by_length([len(sequence) for sequence in sequences], IMAGES_AT_ONCE):
            yield rows, self._batch([sequences[row] for row in rows], None if anchors is None else anchors[rows])

    def _outputs(self, sequences: Sequence[Images], anchors: Images | None) -> Iterator[tuple[list[int], Tensor]]:
        """What the network says of all sequences, some at a time, with the indices of their rows."""
        for rows, batch in self._batches(sequences, anchors):
            vectors = self.network.embed_in_parts(batch.images)
            yield rows, torch.cat(list(self.network.apply_model_in_parts(vectors, batch)))

    def _batch(self, sequences: list[Images], anchors: Images | None) -> Batch:
        count = torch.tensor([len(sequence) for sequence in sequences])
        position = torch.arange(int(count.max()))
        starts = count.cumsum(0) - count
        mask = position < count[:, None]
        index = torch.where(mask, starts[:, None] + position, 0)
        pool, anchor = [_tensor(sequence) for sequence in sequences], None
        if anchors is not None:
            anchor = (int(count.sum()) + torch.arange(len(anchors))).to(self.device)
            pool.append(_tensor(anchors))
        images = torch.cat(pool).to(self.device)
        labels = torch.zeros(len(images), dtype=torch.int64, device=self.device)  # not known, and not looked at
        return Batch(images, labels, index.to(self.device), mask.to(self.device), anchor)


@plain_torch()
def load(name: str | Path, device: str | torch.device = "auto", trust: bool = False) -> Predictor:
    """The trained network of a finished run's folder, of a model in the package, or of one on the Hugging Face Hub.

    In the package are "sum", the best model of a task, and "sum/transformer", one of several (`digitset models` lists
    them); "hub:USER/NAME" is on the Hub. No pickle is read. A run of parts that are files of somebody's own has these
    files in its folder; only with `trust` they are executed, so read them first.

    Raises InputError if the folder holds no finished run, its weights are not those that were written, or it has code
    that is not trusted.
    """
    run_folder = RunFolder(locate(name))
    run = run_folder.take_code(trust)
    return Predictor(run, run_folder.network(run), choose_device(device), run_folder.path)


def locate(name: str | Path) -> Path:
    """The folder behind what `load` takes. Raises InputError if there is none."""
    if isinstance(name, str) and name.startswith(hub.PREFIX):
        return hub.fetch(name)
    folder = Path(name)
    packaged = None if RunFolder(folder).exists else pretrained.find(str(name))
    if packaged is None and not folder.exists():
        raise InputError(
            f"{name}: {meant(str(name), pretrained.names())}expected the folder of a run, hub:USER/NAME, or a packaged "
            f"model, one of {', '.join(pretrained.names())}"
        )
    return packaged or folder


def _tensor(images: Images) -> UInt8[Tensor, "n 28 28"]:
    """A copy, since torch warns of arrays that it may not write to."""
    return torch.from_numpy(images.copy()) if isinstance(images, np.ndarray) else images.cpu()
