"""Training on a fixed number of labelled sequences: what is drawn, in which order, and that nothing else is used."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from digitset.data.mnist import Digits, Splits
from digitset.data.sequences import Batch, Rank, fixed, sample_fixed
from digitset.errors import InputError
from digitset.run import Run
from digitset.run_folder import RunFolder
from digitset.training.loop import train

COUNT = 30
RUN = Run(
    "contains",
    encoder="cnn",
    encoder_options={"channels": 8},
    steps=14,
    training_sequences=COUNT,
    sequences_per_step=8,
    curriculum=0.5,
    ema_decay=0.5,
    precision="float32",
    device="cpu",  # a GPU promises no equal bits
    checkpoint_every=5,
)


def marked(count: int) -> Digits:
    """Images whose first pixels are their number, so that they can be told apart."""
    numbers = torch.arange(count)
    images = torch.zeros(count, 28, 28, dtype=torch.uint8)
    images[:, 0, 0], images[:, 0, 1] = numbers % 256, numbers // 256
    return Digits(images, numbers % 10)


def sequences(batch: Batch) -> list[tuple[int, ...]]:
    """Each sequence as the numbers of its images, its anchor first."""
    numbers = batch.images[:, 0, 0].long() + 256 * batch.images[:, 0, 1].long()
    assert torch.equal(numbers % 10, batch.labels)
    found = []
    for row in range(len(batch.index)):
        anchor = [] if batch.anchor is None else [int(numbers[batch.anchor[row]])]
        found.append((*anchor, *numbers[batch.index[row, batch.mask[row]]].tolist()))
    return found


@pytest.mark.parametrize("anchored", [False, True])
def test_a_fixed_set_shares_no_image_while_there_are_enough(anchored: bool) -> None:
    digits = marked(700)
    small, large = (fixed(digits, count, (2, 5), anchored, seed=1) for count in (20, 100))
    assert sequences(small) == sequences(large)[:20]  # the larger holds the smaller
    used = [number for row in sequences(large) for number in row]
    assert len(set(used)) == len(used) == len(large.images)  # no image twice, and no other image in the pool
    assert {len(row) - anchored for row in sequences(large)} == {2, 3, 4, 5}
    assert sequences(fixed(digits, 20, (2, 5), anchored, seed=1)) == sequences(small)
    assert sequences(fixed(digits, 20, (2, 5), anchored, seed=2)) != sequences(small)


def test_a_fixed_set_larger_than_the_images_allow_uses_them_about_equally_often() -> None:
    batch = fixed(marked(60), 100, (2, 2), False, seed=0)
    assert len(sequences(batch)) == 100
    times = torch.tensor([number for row in sequences(batch) for number in row]).bincount(minlength=60)
    assert times.min() >= 3
    assert times.max() <= 4
    assert all(len(set(row)) == 2 for row in sequences(batch))


@pytest.mark.parametrize("anchored", [False, True])
def test_a_pass_takes_every_sequence_once_in_a_new_order(anchored: bool) -> None:
    chosen = fixed(marked(700), 30, (2, 5), anchored, seed=0)
    steps = [sequences(sample_fixed(chosen, 12, 5, seed=3, step=step)) for step in range(5)]  # 60 are two passes
    assert [len(step) for step in steps] == [12] * 5
    drawn = [row for step in steps for row in step]
    assert sorted(drawn[:30]) == sorted(drawn[30:]) == sorted(sequences(chosen))
    assert drawn[:30] != drawn[30:]
    assert sequences(sample_fixed(chosen, 12, 5, seed=3, step=4)) == steps[4]
    assert sequences(sample_fixed(chosen, 12, 5, seed=4, step=4)) != steps[4]
    batch = sample_fixed(chosen, 12, 5, seed=3, step=4)
    assert len(batch.images) == sum(map(len, steps[4]))  # each image is encoded once, and no other


def test_an_image_in_several_sequences_of_a_step_is_encoded_once() -> None:
    chosen = fixed(marked(10), 20, (5, 5), False, seed=0)
    batch = sample_fixed(chosen, 20, 5, seed=0, step=0)
    assert len(batch.images) == 10
    assert sorted(sequences(batch)) == sorted(sequences(chosen))


def test_sequences_too_long_for_the_step_are_left_out() -> None:
    chosen = fixed(marked(700), 40, (2, 5), True, seed=0)
    whole = sequences(sample_fixed(chosen, 25, 5, seed=0, step=1))
    short = sample_fixed(chosen, 25, 3, seed=0, step=1)
    assert sequences(short) == [row for row in whole if len(row) <= 4]  # the anchor and three
    assert short.index.shape[1] == 3
    assert sequences(sample_fixed(chosen, 25, 1, seed=0, step=1)) == [row for row in whole if len(row) == 3]


def test_the_parts_of_several_processes_are_the_step() -> None:
    chosen = fixed(marked(700), 40, (2, 5), False, seed=0)
    parts = [sequences(sample_fixed(chosen, 11, 5, 0, 2, Rank(index, 3))) for index in range(3)]
    assert sorted(row for part in parts for row in part) == sorted(sequences(sample_fixed(chosen, 11, 5, 0, 2)))
    assert [len(part) for part in parts] == [4, 4, 3]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, mnist: Splits) -> RunFolder:
    return train(RUN, tmp_path_factory.mktemp("fixed") / "run", splits=mnist)


def same_bits(a: RunFolder, b: RunFolder) -> bool:
    first, second = a.weights(), b.weights()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_no_other_image_is_used(trained: RunFolder, tmp_path: Path, mnist: Splits) -> None:
    """Also not for the statistics of batch normalisation. With all other images blank, each weight is the same."""
    chosen = fixed(mnist.train, COUNT, (1, 10), True, RUN.seed)
    used = {image.numpy().tobytes() for image in chosen.images}
    kept = torch.tensor([image.numpy().tobytes() in used for image in mnist.train.images])
    assert int(kept.sum()) == len(chosen.images)
    blank = Digits(mnist.train.images * kept[:, None, None], mnist.train.labels.where(kept, 0))
    assert same_bits(trained, train(RUN, tmp_path / "blank", splits=replace(mnist, train=blank)))
    fresh = train(replace(RUN, training_sequences=None), tmp_path / "fresh", splits=mnist)
    assert not same_bits(trained, fresh)


def test_it_goes_on_bit_for_bit(trained: RunFolder, tmp_path: Path, mnist: Splits) -> None:
    class EnoughError(Exception):
        pass

    def stop(event: dict[str, object]) -> None:
        if event["step"] == 8:
            raise EnoughError

    with pytest.raises(EnoughError):
        train(RUN, tmp_path / "run", callbacks=[stop], splits=mnist)
    again = train(RUN, tmp_path / "run", resume=True, splits=mnist)
    assert same_bits(trained, again)
    assert again.summary().images == trained.summary().images


def test_the_images_of_a_run_are_those_that_were_encoded(tmp_path: Path, mnist: Splits) -> None:
    run = replace(RUN, lengths=(3, 3), curriculum=0.0, sequences_per_step=10, steps=6)
    assert train(run, tmp_path / "run", splits=mnist).summary().images == 6 * 10 * 4


def test_a_set_that_shares_images_says_so(tmp_path: Path, mnist: Splits) -> None:
    few = replace(mnist, train=Digits(mnist.train.images[:100], mnist.train.labels[:100]))
    run = replace(RUN, task="sum", steps=1, lengths=(5, 5))
    notes: list[str] = []
    run_folder = train(run, tmp_path / "run", callbacks=[lambda event: notes.append(event.get("note", ""))], splits=few)
    assert "the 30 training sequences share images: 100 images fill 150 places" in notes
    assert any("share images" in line.get("note", "") for line in run_folder.metrics())
    train(replace(run, training_sequences=20), tmp_path / "twenty", splits=few)
    assert not any("note" in line for line in RunFolder(tmp_path / "twenty").metrics())


def test_what_cannot_be_is_refused(tmp_path: Path, mnist: Splits) -> None:
    for count in (0, -1, 1_000_001):
        with pytest.raises(
            InputError, match=f"--training-sequences: expected from 1 to 1,000,000, or None, got {count}"
        ):
            Run("sum", training_sequences=count)
    few = replace(mnist, train=Digits(mnist.train.images[:9], mnist.train.labels[:9]))
    with pytest.raises(InputError, match="--lengths: expected at most 9 images, all of training, got 11"):
        train(RUN, tmp_path / "few", splits=few)
    assert not (tmp_path / "few").exists()
