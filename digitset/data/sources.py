"""Where digits can come from: IDX files, an .npz, pictures in folders by label. `find_source` decides which it is.

Nothing is guessed where two kinds are there, and nothing is left out without a word.
"""

from dataclasses import dataclass
from pathlib import Path

from digitset.data.digits import Digits, checked
from digitset.data.idx import INT, read_idx
from digitset.data.labelled_pictures import picture_roots, read_pictures
from digitset.data.npz import read_npz
from digitset.errors import InputError, some_of

FAMILIES = {  # sets of IDX files: where in a folder, what their names begin with, what ends those of labels
    "MNIST": (("", "MNIST/raw", "raw"), ("train-", "t10k-"), "labels-idx1-ubyte"),
    "EMNIST digits": (
        ("", "EMNIST/raw", "raw", "gzip"),
        ("emnist-digits-train-", "emnist-digits-test-"),
        "labels-idx1-ubyte",
    ),
    "EMNIST mnist": (
        ("", "EMNIST/raw", "raw", "gzip"),
        ("emnist-mnist-train-", "emnist-mnist-test-"),
        "labels-idx1-ubyte",
    ),
    "QMNIST": (("", "QMNIST/raw", "raw"), ("qmnist-train-", "qmnist-test-"), "labels-idx2-int"),
}
EXPECTED = (
    "expected digits: four IDX files (train-images-idx3-ubyte ..., or those of EMNIST or QMNIST), folders 0 to 9 of "
    "pictures (or train/0 ... and test/0 ...), or one .npz"
)


@dataclass(frozen=True)
class Source:
    """What a folder or a file holds."""

    kind: str
    train: Digits
    test: Digits | None
    """None if the images are not divided yet."""
    transposed: bool = False
    """Whether these files are known to hold rows as columns."""
    notes: tuple[str, ...] = ()


def find_source(path: Path) -> Source:
    """Reads what a folder holds, or an .npz.

    Raises InputError if it holds none of the kinds, or two of them, or one that is damaged or does not fit.
    """
    if path.is_file():
        if path.suffix.lower() != ".npz":
            raise InputError(f"{path}: {EXPECTED}; found a file of another kind")
        return _source("arrays of an .npz", *read_npz(path))
    if not path.is_dir():
        raise InputError(f"{path}: {EXPECTED}; found no such folder")
    families = [name for name in FAMILIES if any(_idx_paths(path, name).values())]
    arrays = sorted(file for file in path.iterdir() if file.suffix.lower() == ".npz")
    pictures = picture_roots(path)
    kinds = ["IDX files"] * bool(families) + [file.name for file in arrays]
    kinds += [" and ".join(f"pictures in {root}" for root in roots) for roots in pictures]
    if len(kinds) > 1:
        raise InputError(f"{path}: expected one set of digits, found {'; '.join(kinds)}; move the others away")
    if families:
        return _idx(path, families)
    if arrays:
        return _source("arrays of an .npz", *read_npz(arrays[0]))
    if pictures:
        return _source("pictures in folders by label", *read_pictures(path, pictures[0]))
    names = sorted(each.name + "/" * each.is_dir() for each in path.iterdir())
    raise InputError(f"{path}: {EXPECTED}; found {some_of(names) or 'an empty folder'}")


def _source(kind: str, parts: list[Digits], notes: list[str]) -> Source:
    return Source(kind, parts[0], parts[1] if len(parts) > 1 else None, notes=tuple(notes))


def _idx_paths(root: Path, family: str) -> dict[str, Path | None]:
    """The four files of a family by name: images and labels for training, then for testing."""
    folders, prefixes, labels = FAMILIES[family]
    paths: dict[str, Path | None] = {}
    for name in [f"{prefix}{end}" for prefix in prefixes for end in ("images-idx3-ubyte", labels)]:
        candidates = [root / folder / file for folder in folders for file in (name, f"{name}.gz")]
        paths[name] = next((file for file in candidates if file.is_file()), None)
    return paths


def _idx(root: Path, families: list[str]) -> Source:
    """The first of the families that are there; the others are told."""
    family, *others = families
    paths = []
    for name, path in _idx_paths(root, family).items():
        if path is None:
            raise InputError(f"{root}: expected four IDX files, found no {name}[.gz]; add it")
        paths.append(path)
    notes = tuple(f"the files of {other} are there too: left out" for other in others)
    train, test = _digits(paths[0], paths[1]), _digits(paths[2], paths[3])
    return Source(f"IDX files of {family}", train, test, family.startswith("EMNIST"), notes)


def _digits(images: Path, labels: Path) -> Digits:
    if labels.name.removesuffix(".gz").endswith("labels-idx2-int"):  # of QMNIST: the digit, then who wrote it
        table = read_idx(labels, 2, INT)
        classes = table[:, :1].flatten()
    else:
        classes = read_idx(labels, 1)
    return checked(read_idx(images, 3), str(images), classes, str(labels))
