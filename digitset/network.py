"""Encoder + model = a network: the one thing that is trained, saved and asked."""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from digitset import parts
from digitset.errors import InputError
from digitset.rng import derive
from digitset.run import Options, Run
from digitset.sequences import Batch
from digitset.tasks import Task

ENCODED_AT_ONCE = 1_000  # images; more are no faster on a processor, and memory stays bounded
TOKENS_AT_ONCE = 50_000


class Network(nn.Module):
    """Images [N, 28, 28] are encoded once each; the model reads rows of their vectors.

    The encoder runs under autocast when `precision` is bfloat16 and the network is training. The model always runs in
    float32: bfloat16 has 8 bits, too few to tell the sums 64 and 64.25 apart. Evaluation is in float32 everywhere.
    """

    def __init__(self, encoder: nn.Module, model: Any, longest: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.model = model
        self.longest = None if model.extrapolates else longest  # the longest sequence it can take; None is any
        self.precision = "float32"

    def embed(self, images: UInt8[Tensor, "N 28 28"]) -> Float[Tensor, "N D"]:
        """The vectors of images, all at once; zeros for a model that never looks at them."""
        if not self.model.sees_images:
            return torch.zeros(images.shape[0], 1, device=images.device)
        pixels = (images[:, None].float() / 255).contiguous(memory_format=torch.channels_last)
        mixed = self.training and self.precision == "bfloat16"
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=mixed):
            return self.encoder(pixels).float()

    def forward(self, batch: Batch) -> Float[Tensor, "B _"]:
        """The output for each sequence of a batch."""
        return self.read(self.embed(batch.images), batch)

    def read(self, vectors: Float[Tensor, "N D"], batch: Batch) -> Float[Tensor, "B _"]:
        """The output for each sequence of a batch whose pool has these vectors."""
        found = batch.index.shape[1]
        if self.longest is not None and found > self.longest:
            raise InputError(
                f"expected sequences of at most {self.longest} images, got {found}; this model takes no more"
            )
        return self.model(*rows_of(vectors, batch))

    @torch.no_grad()
    def settle(self, images: UInt8[Tensor, "N 28 28"]) -> None:
        """Takes the statistics of batch normalisation anew, from images as they are.

        Those kept in training are of augmented images, which differ from what a trained network is asked about. In
        float32 and without dropout, as in evaluation; a network without batch normalisation is left as it was.
        """
        norms = [module for module in self.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        if not norms:
            return
        was_training, momenta = self.training, [norm.momentum for norm in norms]
        self.eval()
        for norm in norms:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the parts
        self.embed_in_parts(images)
        self.train(was_training)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def parameter_count(self) -> int:
        """How many numbers are learned; the encoder counts where the model looks at images."""
        learned = self if self.model.sees_images else self.model
        return sum(parameter.numel() for parameter in learned.parameters())

    def embed_in_parts(self, images: UInt8[Tensor, "N 28 28"]) -> Float[Tensor, "N D"]:
        """The vectors of any number of images in bounded memory. For evaluation."""
        return torch.cat([self.embed(part) for part in images.split(ENCODED_AT_ONCE)])

    def read_in_parts(self, vectors: Float[Tensor, "N D"], batch: Batch) -> Iterator[Float[Tensor, "b _"]]:
        """The outputs for any number of sequences, some at a time, in order and in bounded memory. For evaluation."""
        at_once = max(1, TOKENS_AT_ONCE // batch.index.shape[1])
        for start in range(0, len(batch.index), at_once):
            yield self.read(vectors, batch.rows(start, start + at_once))


def rows_of(
    vectors: Float[Tensor, "N D"], batch: Batch
) -> tuple[Float[Tensor, "B L D"], Bool[Tensor, "B L"], Float[Tensor, "B D"] | None]:
    """What a model takes: the tokens of each sequence, the mask, the anchor's vector.

    By `embedding`, whose gradient is summed in a fixed order; that of `vectors[index]` is not, with several threads.
    """
    anchor = None if batch.anchor is None else F.embedding(batch.anchor, vectors)
    return F.embedding(batch.index, vectors), batch.mask, anchor


def solve(task: Task, batch: Batch) -> Int64[Tensor, " B"]:
    """The true answers of a batch."""
    return task.solve(batch.digits, batch.mask, batch.anchor_digits)


def lengths_of(run: Run) -> tuple[int, int]:
    """Shortest and longest sequence that a run trains on."""
    return run.lengths or parts.load("tasks", run.task).LENGTHS


def build(run: Run) -> Network:
    """The network of a run, on the CPU, with the initial weights of its seed. Precision is left at float32."""
    task = parts.load("tasks", run.task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(run.seed, "initial weights"))
        encoder = _construct("encoder", run.encoder, run.encoder_options, width=run.width)
        longest = lengths_of(run)[1]
        model = _construct("model", run.model, run.model_options, width=run.width, task=task, longest=longest)
    network = Network(encoder, model, longest)
    network.to(memory_format=torch.channels_last)
    return network


def _construct(kind: str, name: str, options: Options, **given: Any) -> nn.Module:
    part = parts.load(f"{kind}s", name)
    known = [option for option in inspect.signature(part).parameters if option not in given]
    for option in options:
        if option not in known:
            raise InputError(
                f"unknown option '{option}' of {kind} '{name}': expected one of {', '.join(known) or 'none'}"
            )
    try:
        return part(**given, **options)
    except (ValueError, TypeError, AssertionError, RuntimeError) as error:
        raise InputError(f"{kind} '{name}' cannot be built with {options or 'its defaults'}: {error}") from error
