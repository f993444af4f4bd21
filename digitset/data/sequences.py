"""Digits -> batches of sequences: a pool of distinct images, and rows of indices into it.

Each image of the pool is encoded once, however many sequences it is in, and no padding is ever encoded:
`tokens = encoder(images)[index]`.
"""

import functools
import zlib
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from digitset.data.mnist import Digits
from digitset.errors import InputError
from digitset.rng import generator
from digitset.tasks import Task


@dataclass(frozen=True)
class Batch:
    """B sequences over a pool of N images. Row b is the images `index[b, mask[b]]`; the rest of the row is padding.

    `labels` are the digits of the pool, from which a task makes its targets; a model never sees them.
    """

    images: UInt8[Tensor, "N 28 28"]
    labels: Int64[Tensor, " N"]
    index: Int64[Tensor, "B L"]
    mask: Bool[Tensor, "B L"]
    anchor: Int64[Tensor, " B"] | None

    @property
    def digits(self) -> Int64[Tensor, "B L"]:
        return self.labels[self.index]

    @property
    def anchor_digits(self) -> Int64[Tensor, " B"] | None:
        return None if self.anchor is None else self.labels[self.anchor]

    @property
    def lengths(self) -> Int64[Tensor, " B"]:
        return self.mask.sum(dim=1)

    def slice(self, start: int, stop: int) -> "Batch":
        """Some of the sequences, over the same pool."""
        anchor = None if self.anchor is None else self.anchor[start:stop]
        return Batch(self.images, self.labels, self.index[start:stop], self.mask[start:stop], anchor)

    def targets(self, task: Task) -> Int64[Tensor, " B"]:
        """The true answers."""
        return task.target(self.digits, self.mask, self.anchor_digits)

    def gather(
        self, vectors: Float[Tensor, "N D"]
    ) -> tuple[Float[Tensor, "B L D"], Bool[Tensor, "B L"], Float[Tensor, "B D"] | None]:
        """What a model takes, from the vectors of the pool: tokens of each sequence, mask, vector of the anchor.

        `embedding` sums gradients in a fixed order; `vectors[index]` does not, with several threads.
        """
        anchor = None if self.anchor is None else F.embedding(self.anchor, vectors)
        return F.embedding(self.index, vectors), self.mask, anchor


@dataclass(frozen=True)
class Rank:
    """The part of each step that this process makes: number `index` of `count` processes that train one run."""

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that keeps the run's folder."""
        return self.index == 0

    @property
    def purpose(self) -> tuple[int, ...]:
        """What the purpose of a process's own draws ends with; nothing for a process alone."""
        return (self.index,) if self.count > 1 else ()


ALONE = Rank()


def sample(
    digits: Digits,
    images: int,
    sequences: int,
    lengths: tuple[int, int],
    anchored: bool,
    seed: int,
    step: int,
    rank: Rank = ALONE,
) -> Batch:
    """The training batch of a step: a function of (seed, step) and of the rank of this process, and of nothing else.

    The pool is the next `images` of a permutation of all images; each pass has a new permutation. The pool is shuffled
    several times and each shuffle is cut into rows (an anchor first, where there is one). So the images of a row are
    distinct, every image is used about equally often, and there are about `sequences` rows. Lengths are uniform over
    `lengths`.

    Of several processes, each takes its part of the pool that one process would take, and its part of the sequences.
    """
    shortest, longest = lengths
    pool = min(images, len(digits))
    epoch, position = divmod(step, len(digits) // pool)
    chosen = _order(len(digits), seed, epoch)[position * pool : (position + 1) * pool].to(digits.labels.device)
    pool //= rank.count
    chosen = chosen[rank.index * pool : (rank.index + 1) * pool]

    draw = generator(seed, "sequences", step, *rank.purpose)
    width = longest + anchored
    per_shuffle = pool // width
    shuffles = max(1, round(sequences / rank.count / per_shuffle))
    rows = torch.rand(shuffles, pool, generator=draw).argsort(dim=1)[:, : per_shuffle * width].reshape(-1, width)
    count = torch.randint(shortest, longest + 1, (len(rows), 1), generator=draw)
    return _batch(Digits(digits.images[chosen], digits.labels[chosen]), rows, count, anchored)


@functools.lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> Int64[Tensor, " N"]:
    """The permutation of a pass; kept, since drawing it takes longer than all the other draws of a step."""
    return torch.randperm(count, generator=generator(seed, "pass", epoch))


def fixed(digits: Digits, count: int, lengths: tuple[int, int], anchored: bool, seed: int) -> Batch:
    """A training set of `count` labelled sequences, over the images that they use and no others.

    It is the beginning of an endless series of random partitions of the images (see `partitions`). So no two sequences
    share an image until fewer are unused than the next needs; of two sets of one seed, the larger holds the smaller.
    """
    rounds = 1
    while len((batch := partitions(digits, lengths, anchored, rounds, seed, "training sequences")).index) < count:
        rounds *= 2
    return _restricted(batch.slice(0, count))


def sample_fixed(sequences: Batch, count: int, longest: int, seed: int, step: int, rank: Rank = ALONE) -> Batch:
    """The training batch of a step from a fixed set: the next `count` sequences of an endless series of passes.

    Each pass over the set has a new order, a function of (seed, pass), and takes every sequence once. Those that have
    more than `longest` images are left out of the step; where all have, only the shortest stay. Of several
    processes, each takes its part of what is left; they differ by one sequence at most.
    """
    total = len(sequences.index)
    count = min(count, total)
    places = torch.arange(step * count, (step + 1) * count)
    passes = range(int(places[0]) // total, int(places[-1]) // total + 1)
    rows = torch.cat([_order(total, seed, number)[places[places // total == number] % total] for number in passes])
    rows = rows.to(sequences.index.device)
    lengths = sequences.mask[rows].sum(dim=1)
    least = int(lengths.sort().values[rank.count - 1])  # so that there is one for each process
    rows = rows[lengths <= max(longest, least)][rank.index :: rank.count]
    anchor = None if sequences.anchor is None else sequences.anchor[rows]
    chosen = Batch(sequences.images, sequences.labels, sequences.index[rows], sequences.mask[rows], anchor)
    return _restricted(chosen)


def _restricted(batch: Batch) -> Batch:
    """The same sequences over a pool of the images that they use, and no wider than the longest of them."""
    width = int(batch.lengths.max())
    index, mask = batch.index[:, :width], batch.mask[:, :width]
    anchor = index[:, :0] if batch.anchor is None else batch.anchor[:, None]
    used, place = torch.unique(torch.cat([index[mask], anchor.flatten()]), return_inverse=True)
    inside = int(mask.sum())
    moved = torch.zeros_like(index).masked_scatter(mask, place[:inside])
    return Batch(
        *(batch.images[used], batch.labels[used], moved, mask), None if batch.anchor is None else place[inside:]
    )


PUBLISHED_LENGTHS = (1, 10)


def published(digits: Digits, lengths: tuple[int, int], anchored: bool) -> Batch:
    """The windows of kobybibas/vit_for_mnist: item i is images i .. i + n - 1, n = crc32(str(i)) % 10 + 1.

    With an anchor, it is image i and the sequence is the n images after it. The windows overlap, so the items are not
    independent: 9,990 items of MNIST's test images, 9,989 with an anchor. A task whose sequences have one fixed length
    has no published windows of its own; it gets one item an image.

    Raises InputError for any other range of lengths, of which nothing is published, and for too few images.
    """
    shortest, longest = lengths
    if shortest != longest and lengths != PUBLISHED_LENGTHS:
        raise InputError(
            f"expected lengths 1 to 10, of the published windows, or one length, got {shortest} to {longest}"
        )
    _check_size(digits, longest + anchored)
    if shortest == longest:
        items = len(digits) - (longest + anchored) + 1
        count = torch.full((items, 1), longest)
    else:
        items = len(digits) - longest - anchored
        count = torch.tensor([[zlib.crc32(str(item).encode()) % 10 + 1] for item in range(items)])
    rows = torch.arange(items)[:, None] + torch.arange(longest + anchored)
    return _batch(digits, rows, count, anchored)


def partitions(
    digits: Digits, lengths: tuple[int, int], anchored: bool, rounds: int, seed: int, purpose: str = "partitions"
) -> Batch:
    """Random partitions of the images into sequences of uniform random length: no image twice in a round.

    With an anchor, each sequence takes one image more. What is left at a round's end is left out.
    """
    shortest, longest = lengths
    _check_size(digits, longest + anchored)
    draw = generator(seed, purpose, shortest, longest)
    rows, counts = [], []
    for _ in range(rounds):
        order = torch.randperm(len(digits), generator=draw)
        most = len(digits) // (shortest + anchored)
        count = torch.randint(shortest, longest + 1, (most,), generator=draw)
        ends = (count + int(anchored)).cumsum(0)
        count, ends = count[ends <= len(digits)], ends[ends <= len(digits)]
        starts = ends - count - int(anchored)
        position = starts[:, None] + torch.arange(longest + anchored)
        rows.append(order[position.clamp(max=len(digits) - 1)])  # what the clamp touches is padding
        counts.append(count)
    return _batch(digits, torch.cat(rows), torch.cat(counts)[:, None], anchored)


def _check_size(digits: Digits, images: int) -> None:
    if len(digits) < images:
        raise InputError(
            f"expected a set of at least {images} images, for the longest sequence and its anchor, got one of "
            f"{len(digits)}; use more --data or shorter --lengths"
        )


def _batch(digits: Digits, rows: Int64[Tensor, "B W"], count: Int64[Tensor, "B 1"], anchored: bool) -> Batch:
    """Rows of images, the anchor in the first column if there is one, and how many of the others count."""
    device = digits.labels.device
    index = rows[:, 1:] if anchored else rows
    mask = torch.arange(index.shape[1]) < count
    anchor = rows[:, 0].to(device) if anchored else None
    return Batch(digits.images, digits.labels, index.to(device), mask.to(device), anchor)
