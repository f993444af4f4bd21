"""Batches are what they say: pure functions of (seed, step), distinct images, and the two evaluation sets exactly."""

import zlib

import pytest
import torch

from digitset.data.mnist import Digits, Splits
from digitset.data.sequences import Batch, partitions, published, sample
from digitset.errors import InputError


def rows(batch: Batch) -> list[list[int]]:
    return [batch.index[row, batch.mask[row]].tolist() for row in range(len(batch.index))]


@pytest.mark.parametrize("anchored", [False, True])
def test_published_windows_against_an_independent_construction(mnist: Splits, anchored: bool) -> None:
    windows = []
    for i in range(10_000 - (11 if anchored else 10)):
        n = zlib.crc32(str(i).encode()) % 10 + 1
        start = i + 1 if anchored else i
        windows.append(list(range(start, start + n)))
    batch = published(mnist.test, (1, 10), anchored)
    assert rows(batch) == windows
    assert len(windows) == (9_989 if anchored else 9_990)
    assert torch.equal(batch.images, mnist.test.images)
    if anchored:
        assert batch.anchor is not None
        assert batch.anchor.tolist() == list(range(9_989))
        labels = mnist.test.labels.tolist()
        positive = sum(labels[i] in [labels[j] for j in window] for i, window in enumerate(windows))
        assert round(100 * positive / 9_989, 2) == 38.27


def test_published_of_single_images_is_every_image_once(mnist: Splits) -> None:
    assert rows(published(mnist.test, (1, 1), False)) == [[i] for i in range(10_000)]


@pytest.mark.parametrize("anchored", [False, True])
def test_windows_of_one_length_begin_at_every_image(mnist: Splits, anchored: bool) -> None:
    few = Digits(mnist.test.images[:9], mnist.test.labels[:9])
    assert rows(published(few, (3, 3), anchored)) == [[i, i + 1, i + 2] for i in range(int(anchored), 7)]


@pytest.mark.parametrize("lengths", [(1, 5), (2, 10), (1, 11)])
def test_windows_of_lengths_that_are_not_published_are_refused(mnist: Splits, lengths: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=f"lengths 1 to 10.*got {lengths[0]} to {lengths[1]}"):
        published(mnist.test, lengths, False)


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("lengths", [(1, 10), (7, 7), (1, 1)])
def test_partitions_use_no_image_twice_in_a_round(mnist: Splits, anchored: bool, lengths: tuple[int, int]) -> None:
    batch = partitions(mnist.val, lengths, anchored, rounds=3, seed=0)
    used = torch.zeros(len(mnist.val), dtype=torch.int64)
    for place, row in enumerate(rows(batch)):
        assert lengths[0] <= len(row) <= lengths[1]
        used[row] += 1
        if batch.anchor is not None:
            used[batch.anchor[place]] += 1
    assert used.max() <= 3
    assert used.sum() >= 3 * (len(mnist.val) - lengths[1] - anchored)
    again = partitions(mnist.val, lengths, anchored, rounds=3, seed=0)
    assert torch.equal(batch.index, again.index)


@pytest.mark.parametrize("anchored", [False, True])
def test_training_batches(mnist: Splits, anchored: bool) -> None:
    batch = sample(mnist.train, 256, 256, (1, 10), anchored, seed=3, step=5)
    assert batch.images.shape == (256, 28, 28)
    assert abs(len(batch.index) - 256) < 20
    for place, row in enumerate(rows(batch)):
        used = row if batch.anchor is None else [*row, int(batch.anchor[place])]
        assert len(set(used)) == len(used)
    counts = batch.lengths.bincount(minlength=11)[1:]
    assert counts.min() > 0
    torch.manual_seed(0)  # the global generator has no say
    again = sample(mnist.train, 256, 256, (1, 10), anchored, seed=3, step=5)
    other = sample(mnist.train, 256, 256, (1, 10), anchored, seed=3, step=6)
    assert torch.equal(batch.index, again.index)
    assert torch.equal(batch.images, again.images)
    assert not torch.equal(batch.images, other.images)


def test_a_pass_uses_every_image_once() -> None:
    digits = Digits(torch.zeros(40, 28, 28, dtype=torch.uint8), torch.arange(40) % 10)
    marked = Digits(digits.images + torch.arange(40, dtype=torch.uint8)[:, None, None], digits.labels)
    for turn in range(2):
        batches = [sample(marked, 10, 5, (1, 1), False, 0, 4 * turn + place) for place in range(4)]
        seen = torch.cat([batch.images[:, 0, 0] for batch in batches])
        assert seen.sort().values.tolist() == list(range(40))


@pytest.mark.parametrize("anchored", [False, True])
def test_a_set_too_small_for_its_sequences_is_refused(mnist: Splits, anchored: bool) -> None:
    few = Digits(mnist.test.images[:9], mnist.test.labels[:9])
    for make in (published, lambda *of: partitions(*of, rounds=2, seed=0)):
        with pytest.raises(InputError, match=f"at least {10 + anchored} images"):
            make(few, (1, 10), anchored)
