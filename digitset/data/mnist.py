"""IDX files -> the digits of MNIST, verified, as uint8 tensors split by fixed index."""

import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from digitset.errors import InputError
from digitset.files import read_whole

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
MOST_BYTES = 1 << 30  # of a file, uncompressed: 17 times MNIST's


@dataclass(frozen=True)
class Digits:
    """Images, white ink (255) on black (0), and the digit on each (0..9)."""

    images: UInt8[Tensor, "N 28 28"]
    labels: Int64[Tensor, " N"]

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Digits":
        """The same on a device."""
        return Digits(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Splits:
    """The three splits, and the SHA-256 over the content of the four files they came from."""

    train: Digits
    val: Digits
    test: Digits
    checksum: str

    def to(self, device: torch.device) -> "Splits":
        """The same on a device."""
        return Splits(self.train.to(device), self.val.to(device), self.test.to(device), self.checksum)


def load_data(folder: str | Path | None = None) -> Splits:
    """Reads train / validation / test: all but the last 5,000 training images, those 5,000, and the test files.

    Without a folder, MNIST as it travels in the package (55,000 / 5,000 / 10,000), each file checked by its SHA-256.
    With a folder, its four IDX files (`train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`,
    `t10k-labels-idx1-ubyte`, plain or `.gz`, there or in its `MNIST/raw` or `raw`): 28x28 images, labels 0..9.

    Raises InputError for a folder without these files and for a file that is not what its name says.
    """
    root = PACKAGED if folder is None else Path(folder)
    content = [_read(root, name, verify=folder is None) for name in SHA256]
    checksum = hashlib.sha256()
    for raw, _ in content:
        checksum.update(hashlib.sha256(raw).digest())
    train = _digits(*content[0], *content[1])
    test = _digits(*content[2], *content[3])
    if len(train) <= VALIDATION:
        raise InputError(f"{root}: expected more than {VALIDATION} training images, found {len(train)}")
    cut = len(train) - VALIDATION
    return Splits(
        train=Digits(train.images[:cut], train.labels[:cut]),
        val=Digits(train.images[cut:], train.labels[cut:]),
        test=test,
        checksum=checksum.hexdigest(),
    )


def parse_idx(raw: bytes, dimensions: int, source: str = "IDX data") -> UInt8[Tensor, "..."]:
    """Parses IDX of unsigned bytes: magic 0x0000 08 <dimensions>, big-endian sizes, then exactly that many bytes.

    Raises InputError on a wrong magic number, a wrong number of dimensions, or bytes missing or left over.
    """
    header = 4 + 4 * dimensions
    expected = _magic(dimensions)
    if raw[:4] != expected:
        raise InputError(
            f"{source}: expected the IDX magic number {expected.hex()}, found {raw[:4].hex() or 'nothing'}"
        )
    if len(raw) < header:
        raise InputError(f"{source}: truncated: expected a header of {header} bytes, found {len(raw)}")
    shape = struct.unpack(f">{dimensions}I", raw[4:header])
    size = math.prod(shape)
    if len(raw) - header != size:
        fault = "truncated" if len(raw) - header < size else "too long"
        sizes = "x".join(map(str, shape))
        raise InputError(f"{source}: {fault}: expected {size} bytes for {sizes}, found {len(raw) - header}")
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8)[header:].reshape(shape)


def _read(root: Path, name: str, verify: bool) -> tuple[bytes, str]:
    """The uncompressed bytes of one of the four files, and the path they came from."""
    candidates = [root / sub / file for sub in ("", "MNIST/raw", "raw") for file in (name, f"{name}.gz")]
    path = next((file for file in candidates if file.is_file()), None)
    if path is None:
        raise InputError(f"{root}: expected four IDX files, found no {name}[.gz]; point --data at their folder")
    dimensions = int(name.split("-idx")[1][0])
    raw = read_whole(path, MOST_BYTES, "an IDX file")
    if path.suffix == ".gz":
        try:
            size = _size(_unpacked(raw, 4 + 4 * dimensions), dimensions, path)
            raw = _unpacked(raw, size + 1)  # one byte more tells that there is more
        except (EOFError, zlib.error) as error:
            raise InputError(f"{path}: truncated or altered: not readable as gzip ({error}); get it again") from None
    if verify and hashlib.sha256(raw).hexdigest() != SHA256[name]:
        raise InputError(f"{path}: altered: its SHA-256 is not the published one; install the package again")
    return raw, str(path)


def _magic(dimensions: int) -> bytes:
    return bytes((0, 0, 8, dimensions))


def _size(header: bytes, dimensions: int, path: Path) -> int:
    """How many bytes an IDX file has by its header; those of the header if it is none."""
    if header[:4] != _magic(dimensions) or len(header) < 4 + 4 * dimensions:
        return len(header)
    size = len(header) + math.prod(struct.unpack(f">{dimensions}I", header[4:]))
    if size > MOST_BYTES:
        raise InputError(f"{path}: expected an IDX file of at most {MOST_BYTES:,} bytes, found one of {size:,}")
    return size


def _unpacked(packed: bytes, most: int) -> bytes:
    """The first so many bytes that gzip holds, or all: some thousand bytes of it may become any number."""
    parts: list[bytes] = []
    while packed and most > 0:
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        parts.append(member.decompress(packed, most))
        most -= len(parts[-1])
        if not member.eof and most > 0:
            raise EOFError("it ends too early")
        packed = member.unused_data.lstrip(b"\0")  # another member, or padding
    return b"".join(parts)


def _digits(images: bytes, images_path: str, labels: bytes, labels_path: str) -> Digits:
    pixels = parse_idx(images, 3, images_path)
    classes = parse_idx(labels, 1, labels_path)
    if pixels.shape[1:] != (28, 28):
        raise InputError(f"{images_path}: expected images of 28x28, found {pixels.shape[1]}x{pixels.shape[2]}")
    if len(pixels) != len(classes):
        raise InputError(f"{labels_path}: expected {len(pixels)} labels, one an image, found {len(classes)}")
    if len(classes) == 0:
        raise InputError(f"{images_path}: expected at least one image, found none")
    if int(classes.max()) > 9:
        raise InputError(f"{labels_path}: expected labels 0..9, found {int(classes.max())}")
    return Digits(pixels, classes.long())
