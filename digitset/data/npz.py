"""Digits in an .npz: arrays of images and of labels."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from digitset.data.digits import Digits, checked
from digitset.data.idx import LARGEST
from digitset.errors import InputError
from digitset.files import opened

ARRAYS: tuple[tuple[str, ...], ...] = (  # their names: images and labels for training, and for testing if there are any
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("images", "labels"),
    ("x", "y"),
)


def read_npz(path: Path) -> tuple[list[Digits], list[str]]:
    """The digits for training and, if they are apart, for testing; and a note on arrays that were left out.

    Images are uint8 [N, 28, 28] or [N, 28, 28, 1], labels whole numbers [N] or [N, 1]. Raises InputError for others,
    for names that are not known, and for a file that is damaged or larger than a million images.
    """
    try:
        with opened(path, "an .npz") as file, zipfile.ZipFile(file) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            chosen = _known_names(names, path)
            arrays = {name: _array(archive, name, path) for name in chosen}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise InputError(f"{path}: truncated or altered: not readable as .npz ({error}); get it again") from None
    parts = []
    for images, labels in zip(chosen[::2], chosen[1::2], strict=True):
        of_images, of_labels = f"{path}: {images}", f"{path}: {labels}"
        parts.append(
            checked(_images(arrays[images], of_images), of_images, _labels(arrays[labels], of_labels), of_labels)
        )
    left = sorted(names - {*chosen})
    return parts, [f"arrays left out: {', '.join(left)}"] if left else []


def _known_names(names: set[str], path: Path) -> tuple[str, ...]:
    for known in ARRAYS:
        if {*known[:2]} <= names:
            test = [name for name in known[2:] if name in names]
            if len(test) == 1:
                raise InputError(f"{path}: expected {known[2]} and {known[3]}, found {test[0]} alone; add the other")
            return (*known[:2], *test)
    expected = "; or ".join(", ".join(known) for known in ARRAYS)
    raise InputError(
        f"{path}: expected arrays called {expected}; found {', '.join(sorted(names)) or 'none'}; rename them"
    )


def _array(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """One array; its header is believed only as far as the archive holds bytes for it."""
    member = archive.getinfo(f"{name}.npy" if f"{name}.npy" in archive.namelist() else name)
    try:
        with archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(stream)
            size = dtype.itemsize * int(np.prod(shape, dtype=object))
            if dtype.hasobject or size > LARGEST or min(shape, default=0) < 0:
                expected = f"numbers, at most {LARGEST:,} bytes"
                raise InputError(f"{path}: {name}: expected {expected}, found {dtype} {list(shape)}")
            raw = stream.read(size + 1)
    except (ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: {name}: not readable as an array ({error}); write it again") from None
    if len(raw) != size:
        fault = "less" if len(raw) < size else "more"
        raise InputError(f"{path}: {name}: expected {size:,} bytes for {list(shape)}, found {fault}; write it again")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def _images(values: np.ndarray, name: str) -> Tensor:
    if values.dtype != np.uint8:
        raise InputError(
            f"{name}: expected uint8, ink 255 on 0, found {values.dtype}; scale them to 0..255 and convert"
        )
    if values.ndim == 4 and values.shape[-1] == 1:
        values = values[..., 0]
    return torch.from_numpy(np.array(values, order="C"))


def _labels(values: np.ndarray, name: str) -> Tensor:
    if values.dtype.kind not in "iu" or values.ndim == 0 or values.size != len(values):
        raise InputError(f"{name}: expected whole numbers [N], found {values.dtype} {list(values.shape)}; convert them")
    return torch.from_numpy(values.reshape(-1).astype(np.int64))
