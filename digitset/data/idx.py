"""IDX, the format of MNIST's files: reading within bounds, and the checksum of what was read."""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from digitset.errors import InputError
from digitset.files import opened

UBYTE, INT = 0x08, 0x0C  # types of values: one byte, or four, the highest first
LARGEST = 1_000_000 * 28 * 28  # bytes of one file, uncompressed: a million images


def read_idx(path: Path, dimensions: int, kind: int = UBYTE) -> UInt8[Tensor, "..."] | Int64[Tensor, "..."]:
    """The values of a file, plain or `.gz`. What its header announces is unpacked, and one byte more to see its end.

    Raises InputError for what `parse_idx` refuses, for more than a million images, and for damaged gzip.
    """
    source = str(path)
    try:
        with opened(path, "an IDX file") as file, _unpacked(file, path) as stream:
            header = stream.read(4 + 4 * dimensions)
            size = _size(_shape(header, dimensions, kind, source), kind)
            if size > LARGEST:
                raise InputError(f"{source}: expected at most {LARGEST:,} bytes of values, found a header of {size:,}")
            body = stream.read(size + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{source}: truncated or altered: not readable as gzip ({error}); get it again") from None
    if len(body) > size:
        raise InputError(
            f"{source}: too long or altered: its header announces {size:,} bytes, found more; get it again"
        )
    return parse_idx(header + body, dimensions, source, kind)


def _unpacked(file: BinaryIO, path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(file)) if path.suffix == ".gz" else file


def parse_idx(
    raw: bytes, dimensions: int, source: str = "IDX data", kind: int = UBYTE
) -> UInt8[Tensor, "..."] | Int64[Tensor, "..."]:
    """Parses IDX: magic 0x0000 <kind> <dimensions>, big-endian sizes, then exactly the values that they announce.

    Raises InputError on a wrong magic number, a wrong number of dimensions, or bytes missing or left over.
    """
    shape = _shape(raw, dimensions, kind, source)
    header, size = 4 + 4 * dimensions, _size(shape, kind)
    if len(raw) - header != size:
        fault = "truncated" if len(raw) - header < size else "too long"
        sizes = "x".join(map(str, shape))
        raise InputError(f"{source}: {fault}: expected {size} bytes for {sizes}, found {len(raw) - header}")
    if kind == INT:
        return torch.from_numpy(np.frombuffer(raw, ">i4", offset=header).astype(np.int64)).reshape(shape)
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8)[header:].reshape(shape)


def _shape(raw: bytes, dimensions: int, kind: int, source: str) -> tuple[int, ...]:
    """The sizes that a header announces."""
    expected = bytes((0, 0, kind, dimensions))
    if raw[:4] != expected:
        raise InputError(
            f"{source}: expected the IDX magic number {expected.hex()}, found {raw[:4].hex() or 'nothing'}"
        )
    header = 4 + 4 * dimensions
    if len(raw) < header:
        raise InputError(f"{source}: truncated: expected a header of {header} bytes, found {len(raw)}")
    return struct.unpack(f">{dimensions}I", raw[4:header])


def _size(shape: tuple[int, ...], kind: int) -> int:
    return math.prod(shape) * (4 if kind == INT else 1)


def idx_digest(values: UInt8[Tensor, "..."]) -> str:
    """The SHA-256 of the IDX file that holds these values, whatever file they came from."""
    header = bytes((0, 0, UBYTE, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    digest = hashlib.sha256(header)
    digest.update(values.contiguous().numpy().data)
    return digest.hexdigest()
