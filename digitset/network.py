"""Encoder + model = a network: what is trained, saved and asked. An experiment is a run with its parts resolved."""

import contextlib
import inspect
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from digitset.data.sequences import Batch
from digitset.device import plain_torch
from digitset.encoders import Encoder, load_encoder
from digitset.errors import InputError
from digitset.models import Model, load_model
from digitset.rng import derive, torch_seeded
from digitset.run import Options, Run
from digitset.tasks import Task, load_task

IMAGES_AT_ONCE = 1_000  # more are no faster on a CPU, and memory stays bounded
TOKENS_AT_ONCE = 50_000

Part = TypeVar("Part", Encoder, Model)


class Network(nn.Module):
    """Images [N, 28, 28] are encoded once each; the model reads sequences of their vectors.

    The encoder runs under autocast when `precision` is bfloat16 and the network is training. The model always runs in
    float32: bfloat16 has 8 significant bits, too few to tell 64 and 64.25 apart. Evaluation is always in float32.
    """

    def __init__(self, encoder: Encoder, model: Model, longest: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.model = model
        self.longest = None if model.any_length else longest  # the longest sequence it can take; None is any
        self.precision = "float32"

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    def embed(self, images: UInt8[Tensor, "N 28 28"]) -> Float[Tensor, "N D"]:
        """The vectors of images, all at once; zeros for a model that does not use them."""
        if not self.model.uses_images:
            return torch.zeros(images.shape[0], 1, device=images.device)
        mixed = self.training and self.precision == "bfloat16"
        # no cache: torch empties it where the outermost context ends, which may be the caller's, many steps later
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=mixed, cache_enabled=False):
            return self.encoder(self.pixels(images)).float()

    def pixels(self, images: UInt8[Tensor, "N 28 28"]) -> Float[Tensor, "N 1 28 28"]:
        """Images as the encoder takes them: paper is 0, ink is 1."""
        return (images[:, None].float() / 255).contiguous(memory_format=torch.channels_last)

    def forward(self, batch: Batch) -> Float[Tensor, "B _"]:
        """The output for each sequence of a batch."""
        return self.apply_model(self.embed(batch.images), batch)

    def apply_model(self, vectors: Float[Tensor, "N D"], batch: Batch) -> Float[Tensor, "B _"]:
        """The output for each sequence of a batch whose images have these vectors.

        Raises InputError for sequences that are longer than the model takes.
        """
        length = batch.index.shape[1]
        if self.longest is not None and length > self.longest:
            raise InputError(
                f"expected sequences of at most {self.longest} images, got {length}; this model takes no more"
            )
        return self.model(*batch.gather(vectors))

    @contextlib.contextmanager
    def evaluating(self) -> Generator[None, None, None]:
        """A context in which the network is in evaluation mode; after it, in the mode it was in."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)

    def embed_in_parts(self, images: UInt8[Tensor, "N 28 28"]) -> Float[Tensor, "N D"]:
        """The vectors of any number of images in bounded memory. For evaluation."""
        return torch.cat([self.embed(part) for part in torch.split(images, IMAGES_AT_ONCE)])

    def apply_model_in_parts(self, vectors: Float[Tensor, "N D"], batch: Batch) -> Iterator[Float[Tensor, "b _"]]:
        """The outputs for any number of sequences, some at a time, in order, in bounded memory. For evaluation."""
        at_once = max(1, TOKENS_AT_ONCE // batch.index.shape[1])
        for start in range(0, len(batch.index), at_once):
            yield self.apply_model(vectors, batch.slice(start, start + at_once))

    @torch.no_grad()
    def recompute_batch_norm(self, images: UInt8[Tensor, "N 28 28"]) -> None:
        """Computes the statistics of batch normalisation again, from images without augmentation.

        The statistics kept during training are of augmented images, which differ from the images of evaluation. Runs
        in float32 and without dropout, as in evaluation. A network without batch normalisation is left as it was.
        """
        norms = [module for module in self.modules() if isinstance(module, _BatchNorm)]
        if not norms:
            return
        momenta = [norm.momentum for norm in norms]
        with self.evaluating():
            for norm in norms:
                norm.train()
                norm.reset_running_stats()
                norm.momentum = None  # a plain mean over the parts
            self.embed_in_parts(images)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def parameter_count(self) -> int:
        """How many numbers are learned. Those of the encoder are included if the model uses images."""
        learned = self if self.model.uses_images else self.model
        return sum(parameter.numel() for parameter in learned.parameters())


@dataclass(frozen=True)
class Experiment:
    """A run with its task, encoder and model. `Experiment.of` is the one place where their names are resolved."""

    run: Run
    task: Task
    encoder: type[Encoder]
    model: type[Model]

    @classmethod
    def of(cls, run: Run) -> "Experiment":
        """The experiment that a run describes."""
        return cls(run, load_task(run.task), load_encoder(run.encoder), load_model(run.model))

    @property
    def lengths(self) -> tuple[int, int]:
        """Shortest and longest sequence of training."""
        return self.run.lengths or self.task.lengths

    def build(self) -> Network:
        """The network, on the CPU, with the initial weights of the run's seed. Its precision is float32.

        Raises InputError for an unknown option, and for one with which the part cannot be built.
        """
        run, longest = self.run, self.lengths[1]
        with plain_torch(), torch_seeded(derive(run.seed, "initial weights"), torch.device("cpu")):
            encoder = _construct("encoder", self.encoder, run.encoder, run.encoder_options, {"width": run.width})
            given = {"width": run.width, "task": self.task, "longest": longest}
            model = _construct("model", self.model, run.model, run.model_options, given)
        network = Network(encoder, model, longest)
        network.to(memory_format=torch.channels_last)
        return network


GIVEN = ("width", "task", "longest")  # what the constructor of a part is given by the run


def part_options(part: type[Encoder] | type[Model]) -> dict[str, Any]:
    """The options of a model or an encoder with their defaults."""
    parameters = inspect.signature(part).parameters
    return {name: parameter.default for name, parameter in parameters.items() if name not in GIVEN}


def _construct(kind: str, part: type[Part], name: str, options: Options, given: dict[str, Any]) -> Part:
    known = part_options(part)
    for option in options:
        if option not in known:
            raise InputError(
                f"unknown option '{option}' of {kind} '{name}': expected one of {', '.join(known) or 'none'}"
            )
    try:
        return part(**given, **options)
    except (ValueError, TypeError, AssertionError, RuntimeError) as error:
        raise InputError(f"{kind} '{name}' cannot be built with {options or 'its defaults'}: {error}") from error
