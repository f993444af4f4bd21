"""The digits of MNIST, verified, or of another source: train, validation and test, as uint8 tensors."""

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from digitset.data.digits import Digits, by_content, count, doubts
from digitset.data.idx import idx_digest
from digitset.data.sources import Source, find_source
from digitset.errors import InputError

PACKAGED = Path(__file__).parent / "files"
# Of MNIST's files as published, uncompressed (gzip's header holds a date, so compressed copies differ).
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
PACKAGED_CHECKSUM = hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in SHA256.values())).hexdigest()
VALIDATION = 5_000  # the last images of the training files
DIGIT_NAMES = tuple(map(str, range(10)))
CLASS_NAMES = {  # what the labels of a set mean, by a pattern for the name of its folder
    "fashion": (
        *("T-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
    "kmnist|kuzushiji": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}


@dataclass(frozen=True)
class Splits:
    """The three splits, and the SHA-256 over the content of the four IDX files that hold them."""

    train: Digits
    val: Digits
    test: Digits
    checksum: str
    kind: str = "MNIST"
    """What they were read from."""
    class_names: tuple[str, ...] = DIGIT_NAMES
    """What the labels 0..9 mean."""
    notes: tuple[str, ...] = ()
    """What a user should know of them: a sentence each."""

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(getattr(self, name)):,}" for name in ("train", "val", "test"))
        return f"Splits of {self.kind}: {sizes} images, SHA-256 {self.checksum[:8]}"

    def to(self, device: torch.device) -> "Splits":
        """The same on a device."""
        return replace(self, train=self.train.to(device), val=self.val.to(device), test=self.test.to(device))


def load_data(folder: str | Path | None = None, transpose: bool = False) -> Splits:
    """Reads train / validation / test: all but the last 5,000 training images, those 5,000, and the test images.

    Without a folder, MNIST as it travels in the package (55,000 / 5,000 / 10,000), each file checked by its SHA-256.
    With a folder, what `find_source` finds there: 28x28 images with labels 0..9 in IDX files, in an .npz, or in picture
    files. Of fewer than 10,000 training images a tenth is for validation. Images that are not divided yet are sorted
    by content; a tenth, at most 10,000, is the test. `transpose` says that the files hold rows as columns; those of
    EMNIST are known to. Images that look wrong are in the `notes`.

    Raises InputError for a folder that holds no digits and for a file that is not what its name says.
    """
    if transpose and folder is None:
        raise InputError("--transpose: expected with --data, got it for MNIST of the package, which is upright")
    root = PACKAGED if folder is None else Path(folder)
    source = find_source(root)
    notes = list(source.notes)
    if transpose or source.transposed:
        source = replace(source, train=_upright(source.train), test=source.test and _upright(source.test))
        notes += [] if transpose else ["EMNIST's files hold rows as columns: its images are set upright"]
    elif re.search("emnist", root.name, re.IGNORECASE):
        notes += ["called EMNIST, whose own files hold rows as columns: if these do (digitset data), add --transpose"]
    train, test = _divided(source, root)
    if len(train) > 1 and bool((train.labels.diff() >= 0).all()):  # then the last images would be of one label
        train = by_content(train)
        notes += ["training images are sorted by label: they are taken in the order of content, for the validation"]
    if source.test is None:
        notes.append(f"no images are set apart for the test: {count(len(test))} are taken, in the order of content")
    digests = [idx_digest(values) for part in (train, test) for values in (part.images, part.labels.to(torch.uint8))]
    if folder is None:
        _verify(digests)
    elif digests != [*SHA256.values()]:
        notes += doubts(train, test)
    cut = len(train) - _validation(train, root)
    return Splits(
        train=Digits(train.images[:cut], train.labels[:cut]),
        val=Digits(train.images[cut:], train.labels[cut:]),
        test=test,
        checksum=hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest(),
        kind="MNIST of the package" if folder is None else source.kind,
        class_names=_class_names(root),
        notes=tuple(notes),
    )


def _verify(digests: list[str]) -> None:
    for (name, published), digest in zip(SHA256.items(), digests, strict=True):
        if digest != published:
            raise InputError(
                f"{PACKAGED / name}.gz: altered: its SHA-256 is not the published one; install the package again"
            )


def _upright(digits: Digits) -> Digits:
    return Digits(digits.images.transpose(1, 2).contiguous(), digits.labels)


def _divided(source: Source, root: Path) -> tuple[Digits, Digits]:
    """The images for training and for testing; where they are not told apart, some of each for the test."""
    if source.test is not None:
        return source.train, source.test
    every = by_content(source.train)
    if len(every) < 11:  # ten for training, one of which is for validation, and one for the test
        raise InputError(f"{root}: expected at least 11 images, to divide them, found {count(len(every))}")
    cut = len(every) - min(10_000, len(every) // 10)
    return Digits(every.images[:cut], every.labels[:cut]), Digits(every.images[cut:], every.labels[cut:])


def _validation(train: Digits, root: Path) -> int:
    """How many of the last training images are for validation."""
    if len(train) < 10:
        raise InputError(f"{root}: expected at least 10 training images, found {count(len(train))}")
    return VALIDATION if len(train) >= 2 * VALIDATION else len(train) // 10


def _class_names(root: Path) -> tuple[str, ...]:
    """By the name of the folder, or of the one around it, as in `FashionMNIST/raw`."""
    for name in root.parts[-2:]:
        for pattern, names in CLASS_NAMES.items():
            if re.search(pattern, name, re.IGNORECASE):
                return names
    return DIGIT_NAMES
