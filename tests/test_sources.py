"""Digits from any door: the same content gives the same splits, what does not fit is one line with counts."""

import gzip
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from conftest import Outcome
from PIL import Image

from digitset.bench.grid import check_cells
from digitset.bench.runner import make_cell
from digitset.data.mnist import PACKAGED_CHECKSUM, Splits, load_data
from digitset.errors import InputError
from digitset.inference.predictor import load
from digitset.report.comparison import draw_prediction_figures
from digitset.run import Run

Arrays = tuple[np.ndarray, np.ndarray]
NAMES = "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "test-images-idx3-ubyte", "test-labels-idx1-ubyte"


@pytest.fixture
def few(mnist: Splits) -> tuple[Arrays, Arrays]:
    """Images and labels of 200 training and 50 test digits."""
    parts = [(part.images[:n].numpy(), part.labels[:n].numpy()) for part, n in ((mnist.train, 200), (mnist.test, 50))]
    return parts[0], parts[1]


def idx(values: np.ndarray) -> bytes:
    kind = {"uint8": 8, ">i4": 12, "int32": 12}[str(values.dtype)]
    shape = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes((0, 0, kind, values.ndim)) + shape + values.tobytes()


def write_idx(folder: Path, names: Iterable[str], arrays: Iterable[np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in zip(names, arrays, strict=True):
        raw = idx(values if values.dtype == ">i4" else values.astype(np.uint8))
        (folder / f"{name}.gz").write_bytes(gzip.compress(raw, 1))
    return folder


def write_pictures(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"{number:03}.png")
    return folder


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_data(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_door_leads_to_the_same_digits(tmp_path: Path, few: tuple[Arrays, Arrays]) -> None:
    (images, labels), (test_images, test_labels) = few
    four = (images, labels, test_images, test_labels)
    plain = load_data(write_idx(tmp_path / "idx", (name.replace("test-", "t10k-") for name in NAMES), four))
    np.savez(tmp_path / "digits.npz", x_train=images, y_train=labels, x_test=test_images, y_test=test_labels)
    (tmp_path / "inside").mkdir()
    column = {"train_labels": labels[:, None], "test_labels": test_labels[:, None].astype(np.uint8)}
    np.savez_compressed(
        tmp_path / "inside/any.npz",
        train_images=images[..., None],
        test_images=np.asfortranarray(test_images),
        **column,
    )
    extended = [np.stack([of, of + 10], 1).astype(">i4") for of in (labels, test_labels)]
    names = [f"qmnist-{name.replace('idx1-ubyte', 'idx2-int')}" for name in NAMES]
    write_idx(tmp_path / "QMNIST/raw", names, (images, extended[0], test_images, extended[1]))
    sideways = (images.transpose(0, 2, 1), labels, test_images.transpose(0, 2, 1), test_labels)
    write_idx(tmp_path / "EMNIST/raw", (f"emnist-digits-{name}" for name in NAMES), sideways)
    for place in ("digits.npz", "inside", "QMNIST", "EMNIST"):
        splits = load_data(tmp_path / place)
        assert splits.checksum == plain.checksum, place
        assert [len(part) for part in (splits.train, splits.val, splits.test)] == [180, 20, 50]
        assert torch.equal(splits.train.images, plain.train.images)
        assert torch.equal(splits.test.labels, plain.test.labels)
        assert any("set upright" in note for note in splits.notes) == (place == "EMNIST")
    assert load_data(tmp_path / "EMNIST", transpose=True).checksum == plain.checksum
    assert load_data(tmp_path / "QMNIST", transpose=True).checksum != plain.checksum


def test_mnist_is_known_through_another_door(tmp_path: Path, mnist: Splits) -> None:
    """Results on it are results on the packaged one: the checksum is of what was read."""
    both = [torch.cat([mnist.train.images, mnist.val.images]), torch.cat([mnist.train.labels, mnist.val.labels])]
    arrays = dict(zip(("x_train", "y_train"), (part.numpy() for part in both), strict=True))
    arrays |= {"x_test": mnist.test.images.numpy(), "y_test": mnist.test.labels.numpy()}
    write_npz(tmp_path / "mnist.npz", arrays)
    splits = load_data(tmp_path / "mnist.npz")
    assert splits.checksum == PACKAGED_CHECKSUM
    assert torch.equal(splits.val.images, mnist.val.images)
    assert splits.notes == ()


def test_folders_by_label(tmp_path: Path, few: tuple[Arrays, Arrays]) -> None:
    (images, labels), (test_images, test_labels) = few
    write_pictures(tmp_path / "a/train", images, labels)
    write_pictures(tmp_path / "a/test", test_images, test_labels)
    divided = load_data(tmp_path / "a")
    assert sorted(map(bytes, divided.test.images.numpy())) == sorted(map(bytes, test_images))
    assert len(divided.train) + len(divided.val) == 200
    mixed = load_data(write_pictures(tmp_path / "b", images, labels))
    assert [len(part) for part in (mixed.train, mixed.val, mixed.test)] == [162, 18, 20]
    assert any("20 images are taken" in note for note in mixed.notes)
    assert len(mixed.test.labels.unique()) > 4  # not the last folders alone
    renamed = write_pictures(tmp_path / "c", images[::-1], labels[::-1])
    (renamed / "3/notes.txt").write_text("not a picture")
    again = load_data(renamed)
    assert again.checksum == mixed.checksum  # whatever the files are called
    assert [note for note in again.notes if "3/notes.txt" in note and "left out 1 " in note]


@pytest.mark.parametrize("kind", ["pictures", "npz"])
def test_validation_of_sorted_images_has_every_label(tmp_path: Path, few: tuple[Arrays, Arrays], kind: str) -> None:
    """The last images of a file that is sorted by label are all of one."""
    (images, labels), (test_images, test_labels) = few
    order = labels.argsort(kind="stable")
    if kind == "pictures":
        path = tmp_path / "pictures"
        write_pictures(path / "train", images, labels)
        write_pictures(path / "test", test_images, test_labels)
    else:
        path = tmp_path / "digits.npz"
        arrays = {"x_train": images[order], "y_train": labels[order], "x_test": test_images, "y_test": test_labels}
        write_npz(path, arrays)
    splits = load_data(path)
    assert len(splits.val.labels.unique()) > 5
    assert any("sorted by label" in note for note in splits.notes)
    together = torch.cat([splits.train.labels, splits.val.labels]).bincount().tolist()
    assert together == np.bincount(labels).tolist()


def test_colours_transparency_and_palettes_become_grey(tmp_path: Path, few: tuple[Arrays, Arrays]) -> None:
    (images, labels), _ = few
    folder = write_pictures(tmp_path, images, labels)
    for number, image in enumerate(map(Image.fromarray, images[:4])):
        path = folder / str(labels[number]) / f"{number:03}.png"
        clear = Image.new("RGBA", image.size, "white")
        clear.putalpha(image)
        (image.convert("RGB"), clear, image.convert("P"), image.convert("LA"))[number].save(path)
    splits = load_data(folder)
    read = {bytes(image) for part in (splits.train, splits.val, splits.test) for image in part.images.numpy()}
    assert {bytes(image) for image in images} == read


def test_what_looks_wrong_is_told_with_counts(tmp_path: Path, few: tuple[Arrays, Arrays]) -> None:
    (images, labels), (test_images, test_labels) = few
    images, labels, test_images = images.copy(), labels.copy(), test_images.copy()
    images[10:13] = 0
    images[20] = images[30]
    labels[20] = (labels[30] + 1) % 10
    test_images[:2] = images[40:42]
    test_labels = test_labels.clip(max=7)
    arrays = {"x_train": images, "y_train": labels, "x_test": test_images, "y_test": test_labels}
    write_npz(tmp_path / "a.npz", {**arrays, "more": labels})
    text = "\n".join(load_data(tmp_path / "a.npz").notes)
    for words in (
        *("arrays left out: more", "training: 3 images black all over", "training: 3 images equal to an earlier one\n"),
        *("test: 2 images equal to one of training", "of another label", "test: no image of 8, 9"),
    ):
        assert words in text, words
    write_npz(tmp_path / "b.npz", {**arrays, "x_train": 255 - images})
    assert "training: 200 images light at the edge" in "\n".join(load_data(tmp_path / "b.npz").notes)
    write_npz(tmp_path / "emnist.npz", arrays)
    assert "add --transpose" in "\n".join(load_data(tmp_path / "emnist.npz").notes)


def test_pictures_that_do_not_fit(tmp_path: Path, few: tuple[Arrays, Arrays]) -> None:
    (images, labels), _ = few
    folder = write_pictures(tmp_path / "a", images, labels)
    write_pictures(tmp_path / "a", np.repeat(images[:3], 2, axis=1), labels[:3])
    write_pictures(tmp_path / "a", images[3:4, :20], labels[3:4])
    assert "expected images of 28x28, found 3 images of 28x56, 1 image of 28x20, such as" in refusal(folder)
    folder = write_pictures(tmp_path / "b", images, labels)
    (folder / "1/broken.png").write_bytes(next((folder / "0").glob("*")).read_bytes()[:60])
    assert "found 1 image that cannot be read as such" in refusal(folder)
    write_pictures(folder, images[:2], np.array([10, 11]))
    assert "expected folders 0 to 9, found 10 (1 image), 11 (1 image)" in refusal(folder)
    few_images = write_pictures(tmp_path / "c", images[:10], labels[:10])
    assert "at least 11 images, to divide them, found 10 images" in refusal(few_images)
    write_pictures(few_images, images[10:11], labels[10:11])
    splits = load_data(few_images)
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [9, 1, 1]
    write_pictures(tmp_path / "d/train", images, labels)
    assert "d/test: expected folders 0 to 9, found none" in refusal(tmp_path / "d").replace("\\", "/")


def test_two_kinds_in_a_folder_are_not_chosen_from(tmp_path: Path, few: tuple[Arrays, Arrays]) -> None:
    (images, labels), _ = few
    write_pictures(tmp_path, images, labels)
    np.savez(tmp_path / "more.npz", x=images, y=labels)
    assert "expected one set of digits, found more.npz; pictures in" in refusal(tmp_path)
    names = [f"emnist-{kind}-{name}" for kind in ("digits", "mnist") for name in NAMES]
    write_idx(tmp_path / "e", names, [images, labels, images, labels] * 2)
    splits = load_data(tmp_path / "e")
    assert splits.kind == "IDX files of EMNIST digits"
    assert "the files of EMNIST mnist are there too: left out" in splits.notes
    (tmp_path / "f").mkdir()
    (tmp_path / "f/emnist-letters-train-images-idx3-ubyte").touch()
    assert "found emnist-letters-train-images-idx3-ubyte" in refusal(tmp_path / "f")


NPZ_FAULTS = {
    "floats": ({"x": np.zeros((30, 28, 28)), "y": np.zeros(30, int)}, "expected uint8, ink 255 on 0, found float64"),
    "size": ({"x": np.zeros((30, 32, 32), np.uint8), "y": np.zeros(30, int)}, "found 32x32 (30 images)"),
    "flat": ({"x": np.zeros((30, 784), np.uint8), "y": np.zeros(30, int)}, "found 784 (30 images)"),
    "words": ({"x": np.zeros((30, 28, 28), np.uint8), "y": np.full(30, "a")}, "expected whole numbers [N], found <U1"),
    "one hot": ({"x": np.zeros((30, 28, 28), np.uint8), "y": np.eye(30, dtype=int)}, "found int64 [30, 30]"),
    "few labels": ({"x": np.zeros((30, 28, 28), np.uint8), "y": np.zeros(29, int)}, "expected 30 labels"),
    "labels": (
        {"x": np.zeros((30, 28, 28), np.uint8), "y": np.arange(30) % 12},
        "expected labels 0..9, found 10 (2 images), 11 (2 images)",
    ),
    "negative": ({"x": np.zeros((30, 28, 28), np.uint8), "y": np.arange(30) % 10 - 1}, "found -1 (3 images)"),
    "names": ({"a": np.zeros(3)}, "expected arrays called x_train, y_train, x_test, y_test; or"),
    "one test": (
        {"x_train": np.zeros((3, 28, 28), np.uint8), "y_train": np.zeros(3, int), "x_test": np.zeros(3)},
        "expected x_test and y_test, found x_test alone",
    ),
    "objects": ({"x": np.zeros((30, 28, 28), np.uint8), "y": np.array([{}] * 30)}, "found object [30]"),
}


@pytest.mark.parametrize("fault", NPZ_FAULTS)
def test_an_npz_that_does_not_fit(tmp_path: Path, fault: str) -> None:
    arrays, message = NPZ_FAULTS[fault]
    write_npz(tmp_path / "a.npz", arrays)
    assert message in refusal(tmp_path / "a.npz")


def test_an_npz_that_is_damaged_or_lies_about_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"PK\x03\x04 and then nothing")
    assert "truncated or altered" in refusal(path)
    np.savez(path, x=np.zeros((30, 28, 28), np.uint8), y=np.zeros(30, int))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"(30, 28, 28)", b"(3e, 28, 28)"))
    assert "a.npz" in refusal(path)
    header = (tmp_path / "h.npy", tmp_path / "y.npy")
    np.save(header[0], np.zeros((0, 28, 28), np.uint8))
    np.save(header[1], np.zeros(30, int))
    announced = header[0].read_bytes().replace(b"(0, 28, 28), }       ", b"(9999999, 28, 28), } ")
    assert len(announced) == header[0].stat().st_size
    with ZipFile(path, "w") as archive:
        archive.writestr("x.npy", announced)
        archive.writestr("y.npy", header[1].read_bytes())
    assert "expected numbers, at most 784,000,000 bytes, found uint8 [9999999, 28, 28]" in refusal(path)
    with ZipFile(path, "w") as archive:
        archive.writestr("x.npy", announced.replace(b"9999999", b"0000900"))
        archive.writestr("y.npy", header[1].read_bytes())
    assert "a.npz" in refusal(path)


@pytest.mark.parametrize(("folder", "word"), [("FashionMNIST", "sneaker"), ("kmnist", "ya"), ("plain", "7")])
def test_class_names_are_in_reports(tmp_path: Path, few: tuple[Arrays, Arrays], folder: str, word: str) -> None:
    (images, labels), test = few
    names = (name.replace("test-", "t10k-") for name in NAMES)
    splits = load_data(write_idx(tmp_path / folder / "raw", names, (images, labels, *test)).parent)
    drawn = dict(draw_prediction_figures(tmp_path, "mlp", load("classify", "cpu"), splits, ".svg"))
    shown = [path.read_text() for caption, path in drawn.items() if "confusion" in caption or "predictions" in caption]
    assert len(shown) == 2
    assert f">{word}</text>" in shown[0]  # what the first test image, a 7, is called
    assert f">answer {word}</text>" in shown[1]


def test_the_command_shows_what_would_be_read(
    tmp_path: Path, few: tuple[Arrays, Arrays], command: Callable[..., Outcome]
) -> None:
    (images, labels), (test_images, test_labels) = few
    sideways = (images.transpose(0, 2, 1), labels, test_images.transpose(0, 2, 1), test_labels)
    folder = write_idx(tmp_path / "e", (f"emnist-digits-{name}" for name in NAMES), sideways)
    sheet = tmp_path / "sheet.svg"
    shown = command("data", folder, "--out", sheet)
    assert shown.code == 0
    rows = [re.findall(r"[\d,]+", line) for line in shown.output.splitlines() if "│" in line]
    assert [int(row[-1]) for row in rows] == [*np.bincount(test_labels, minlength=10), 50]
    assert "set upright" in shown.output
    assert sheet.read_text().count("<image ") > 60
    missing = command("data", tmp_path / "nowhere", "--out", sheet)
    assert missing.code == 2
    assert "found no such folder" in missing.errors
    assert command("data", folder, "--out", tmp_path / "sheet.txt").code == 2
    assert "expected with --data" in command("data", "--transpose", "--out", sheet).errors


def test_a_run_on_pictures_says_what_looks_wrong_and_keeps_its_data(
    tmp_path: Path, few: tuple[Arrays, Arrays], command: Callable[..., Outcome]
) -> None:
    (images, labels), _ = few
    folder = write_pictures(tmp_path / "pictures", images, labels)
    Image.fromarray(images[0] * 0).save(folder / "4/black.png")
    short = ["--steps", 2, "--images-per-step", 32, "--sequences-per-step", 16, "--encoder", "lenet", "--data", folder]
    trained = command("train", "sum", *short, "--out", tmp_path / "run")
    assert trained.code == 0, trained.errors
    assert "1 image black all over" in trained.output
    assert command("evaluate", tmp_path / "run").code == 0
    other = command("train", "sum", *short, "--transpose", "--out", tmp_path / "run")
    assert other.code == 2
    assert "other data" in other.errors
    sideways = command("train", "sum", *short, "--transpose", "--out", tmp_path / "sideways")
    assert sideways.code == 0, sideways.errors
    assert command("evaluate", tmp_path / "sideways").code == 0
    (folder / "4/black.png").unlink()
    assert "other data" in command("evaluate", tmp_path / "run").errors


def test_the_table_of_a_benchmark_says_which_digits(tmp_path: Path, few: tuple[Arrays, Arrays]) -> None:
    """The checksum stands in the column of the data; upright and sideways images are different data."""
    (images, labels), _ = few
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    run = Run("sum", "mlp", "lenet", steps=1, images_per_step=32, data=tmp_path / "a.npz", transpose=True)
    made = make_cell(run, tmp_path / "run", 1)
    assert {row.data for row in made.results} == {load_data(tmp_path / "a.npz", transpose=True).checksum[:12]}
    with pytest.raises(InputError, match="cells of different data"):
        check_cells([run, replace(run, seed=1, transpose=False)])


def test_a_run_is_scored_where_its_data_is_now_and_on_other_data(
    tmp_path: Path, few: tuple[Arrays, Arrays], command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says on which images; scores on images of others are told, and those in the folder stay."""
    monkeypatch.chdir(tmp_path)
    (images, labels), (test_images, test_labels) = few
    arrays = {"x_train": images, "y_train": labels, "x_test": test_images, "y_test": test_labels}
    write_npz(tmp_path / "digits.npz", arrays)
    write_pictures(tmp_path / "pictures", images[:100], labels[:100])
    made = command("train", "classify", "--model", "mlp", "--steps", 2, "--data", "digits.npz", "--out", "run")
    assert made.code == 0, made.errors
    first = command("evaluate", "run")
    assert first.output.startswith(
        "on 50 images of digits.npz (arrays of an .npz), set aside for testing\ntest: no image of 8\n"
    )
    assert command("publish", "run", "published").code == 0
    (tmp_path / "digits.npz").rename(tmp_path / "moved.npz")
    lost = command("evaluate", "published")
    assert lost.code == 2
    assert "published was trained on that: --data says where it is now" in lost.errors
    moved = command("evaluate", "published", "--data", "moved.npz")
    assert moved.output == first.output.replace("digits.npz", "moved.npz")
    kept = (tmp_path / "published" / "scores.json").read_bytes()
    other = command("evaluate", "published", "--data", "pictures").output
    assert other.startswith("on 10 images of pictures (pictures in folders by label), set aside for testing\n")
    assert "\nno images are set apart for the test: 10 images are taken" in other
    assert "n 10)" in other
    assert other.endswith("other images than those of the training: these scores are not kept\n")
    assert (tmp_path / "published" / "scores.json").read_bytes() == kept
    assert command("evaluate", "published", "--transpose").errors == "digitset: --transpose goes with --data\n"


def test_a_comparison_tells_of_its_data_once(
    tmp_path: Path, few: tuple[Arrays, Arrays], command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "pictures", *few[0])
    arguments = ("--quick", "--data", "pictures", "--tasks", "sum", "--models", "constant", "--encoders", "lenet")
    told = command("compare", *arguments).output
    assert "runs: 2 of 2 done" in told
    assert told.count("no images are set apart for the test") == 1
