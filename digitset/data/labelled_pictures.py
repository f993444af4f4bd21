"""Digits in picture files: folders 0 to 9, or such folders in train and test."""

from pathlib import Path

import numpy as np
import torch

from digitset.data.digits import Digits, checked, count
from digitset.errors import InputError, some_of

LABELS = tuple(map(str, range(10)))
SPLITS = (("train", "test"), ("training", "testing"))  # folders of folders by label
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".pbm")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")


def picture_roots(path: Path) -> list[tuple[Path, ...]]:
    """Folders that hold folders by label: the folder itself, or its train and test."""
    roots: list[tuple[Path, ...]] = [(path,)] if _has_labels(path) else []
    for names in SPLITS:
        pair = tuple(path / name for name in names)
        if any(_has_labels(each) for each in pair):
            roots.append(pair)
    return roots


def _has_labels(path: Path) -> bool:
    return any((path / label).is_dir() for label in LABELS)


def read_pictures(path: Path, roots: tuple[Path, ...]) -> tuple[list[Digits], list[str]]:
    """The digits of each of the roots, which `picture_roots` found in the path, and notes on what was left out.

    Pictures of 28x28 become grey; ink is white on black, so what is transparent is black. Raises InputError, with
    counts, for folders that are no digits, and for pictures of another size or that cannot be read.
    """
    read = [_read(root) for root in roots]
    notes = [note for _, of_root in read for note in of_root]
    beside = sorted(each.name for each in path.iterdir() if each not in roots and not each.name.startswith("."))
    if len(roots) > 1 and beside:
        names = " and ".join(root.name for root in roots)
        notes.append(f"{path}: only {names} are read; left out {some_of(beside)}")
    return [digits for digits, _ in read], notes


def _read(root: Path) -> tuple[Digits, list[str]]:
    """The pictures of folders 0 to 9, by label and name, and a note on what else is there."""
    inside = sorted(each for each in root.iterdir() if not each.name.startswith(".")) if root.is_dir() else []
    folders = [each for each in inside if each.is_dir()]
    others = [folder for folder in folders if folder.name not in LABELS]
    if others or not folders:
        found = some_of([f"{folder.name} ({count(len(_files(folder)[0]))})" for folder in others])
        raise InputError(f"{root}: expected folders 0 to 9, found {found or 'none'}; move what is no digit away")
    kept, labels = list[np.ndarray](), list[int]()
    sizes, damaged, left = dict[str, list[Path]](), list[Path](), list[str]()
    for folder in folders:
        files, more = _files(folder)
        left += more
        for file in files:
            pixels, size = _pixels(file)
            if pixels is not None:
                kept.append(pixels)
                labels.append(int(folder.name))
            elif size:
                sizes.setdefault(size, []).append(file)
            else:
                damaged.append(file)
    _expect_readable(root, sizes, damaged)
    left += [each.name for each in inside if not each.is_dir()]
    notes = [f"{root}: left out {len(left):,} that are no pictures, such as {left[0]}"] if left else []
    images = torch.from_numpy(np.stack(kept)) if kept else torch.empty(0, 28, 28, dtype=torch.uint8)
    return checked(images, str(root), torch.tensor(labels, dtype=torch.int64), str(root)), notes


def _expect_readable(root: Path, sizes: dict[str, list[Path]], damaged: list[Path]) -> None:
    if sizes:
        most = sorted(sizes, key=lambda size: -len(sizes[size]))
        found = some_of([f"{count(len(sizes[size]))} of {size}" for size in most])
        raise InputError(f"{root}: expected images of 28x28, found {found}, such as {sizes[most[0]][0]}; scale them")
    if damaged:
        raise InputError(
            f"{root}: expected 8-bit pictures ({', '.join(FORMATS)}), found {count(len(damaged))} that cannot be read "
            f"as such, such as {damaged[0]}; save them again or move them away"
        )


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """The pictures of a folder, and the names of what else is in it; hidden files are neither."""
    inside = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    files = [each for each in inside if each.suffix.lower() in SUFFIXES and each.is_file()]
    kept = set(files)
    return files, [f"{folder.name}/{each.name}" for each in inside if each not in kept]


def _pixels(file: Path) -> tuple[np.ndarray | None, str]:
    """A picture of 28x28 in grey, and its size; only the size if it is another, and nothing if it cannot be read."""
    from PIL import Image, ImageOps  # here, since MNIST is read without it

    try:
        with Image.open(file, formats=FORMATS) as image:
            size = "x".join(map(str, image.size))
            if image.size != (28, 28):
                return None, size
            if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"):
                return None, ""
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("LA", "PA", "RGBA") or "transparency" in upright.info:
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "black"), upright.convert("RGBA"))
            return np.asarray(upright.convert("L")), size
    except PermissionError:
        raise
    except Exception:  # decoders raise whatever they meet in damaged bytes
        return None, ""
