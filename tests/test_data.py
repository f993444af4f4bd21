"""IDX files: what is right is read, each fault is one clear error; MNIST is what it is known to be."""

import gzip
import hashlib
import shutil
import struct
import subprocess
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
import torch

from digitset.data import mnist as data_module
from digitset.data.idx import LARGEST, parse_idx
from digitset.data.mnist import Splits, load_data
from digitset.errors import InputError

ROOT = Path(__file__).parent.parent


def idx(shape: tuple[int, ...], content: bytes, magic: bytes | None = None) -> bytes:
    return (magic or bytes((0, 0, 8, len(shape)))) + struct.pack(f">{len(shape)}I", *shape) + content


def write_set(folder: Path, train: int = 5_003, test: int = 7, compress: bool = False) -> Path:
    """Four small IDX files whose images tell their index."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", train), ("t10k", test)):
        pixels = b"".join(bytes([image % 256]) * 784 for image in range(count))
        files = {
            f"{prefix}-images-idx3-ubyte": idx((count, 28, 28), pixels),
            f"{prefix}-labels-idx1-ubyte": idx((count,), bytes(image % 10 for image in range(count))),
        }
        for name, raw in files.items():
            path = folder / (f"{name}.gz" if compress else name)
            path.write_bytes(gzip.compress(raw) if compress else raw)
    return folder


def test_mnist_is_split_by_fixed_index(mnist: Splits) -> None:
    assert [len(part) for part in (mnist.train, mnist.val, mnist.test)] == [55_000, 5_000, 10_000]
    assert mnist.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    labels = torch.cat([mnist.train.labels, mnist.val.labels])
    assert labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert mnist.test.images.shape == (10_000, 28, 28)
    assert mnist.test.images.dtype == torch.uint8


@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize("compress", [False, True])
def test_other_sets_drop_in(tmp_path: Path, place: str, compress: bool) -> None:
    write_set(tmp_path / place, compress=compress)
    splits = load_data(tmp_path)
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [4_503, 500, 7]
    assert splits.val.images[0, 0, 0] == 4_503 % 256
    assert splits.val.labels[0] == 3


def test_validation_is_a_tenth_or_the_last_5_000(tmp_path: Path) -> None:
    for train, val in ((10, 1), (9_999, 999), (10_000, 5_000), (10_007, 5_000)):
        splits = load_data(write_set(tmp_path, train=train))
        assert (len(splits.train), len(splits.val)) == (train - val, val)


def test_the_checksum_is_of_the_content(tmp_path: Path, mnist: Splits) -> None:
    plain, packed = load_data(write_set(tmp_path / "a")), load_data(write_set(tmp_path / "b", compress=True))
    assert plain.checksum == packed.checksum != mnist.checksum


FAULTS = {
    "magic": (idx((2,), b"\0\1", magic=b"\0\0\x0d\1"), "magic number 00000801, found 00000d01"),
    "dimensions": (idx((2, 1), b"\0\1"), "magic number 00000801, found 00000802"),
    "empty": (b"", "found nothing"),
    "header": (b"\0\0\x08\1\0", "expected a header of 8 bytes, found 5"),
    "truncated": (idx((3,), b"\0\1"), "truncated: expected 3 bytes for 3, found 2"),
    "too long": (idx((1,), b"\0\1"), "too long: expected 1 bytes for 1, found 2"),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_idx_faults(fault: str) -> None:
    raw, message = FAULTS[fault]
    with pytest.raises(InputError, match=message):
        parse_idx(raw, 1)


def replace_file(folder: Path, name: str, raw: bytes) -> None:
    (folder / name).write_bytes(raw)


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        (
            "t10k-labels-idx1-ubyte",
            idx((7,), bytes([0, 1, 2, 3, 10, 5, 6])),
            "expected labels 0..9, found 10 .1 image.; leave",
        ),
        ("t10k-labels-idx1-ubyte", idx((6,), bytes(6)), "expected 7 labels, one an image, found 6"),
        ("t10k-images-idx3-ubyte", idx((7, 27, 28), bytes(7 * 27 * 28)), "expected images of 28x28, found 27x28"),
    ],
)
def test_sets_that_do_not_fit(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    replace_file(write_set(tmp_path), name, raw)
    with pytest.raises(InputError, match=message):
        load_data(tmp_path)


def test_a_set_too_small_to_split_and_a_folder_without_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected digits: four IDX files .*; found an empty folder"):
        load_data(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        load_data(tmp_path / "nowhere")
    with pytest.raises(InputError, match="at least 10 training images, found 9 images"):
        load_data(write_set(tmp_path, train=9))
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match=r"found no t10k-labels-idx1-ubyte\[.gz\]"):
        load_data(tmp_path)


def test_gzip_that_grows_without_end_is_not_unpacked(tmp_path: Path) -> None:
    path = write_set(tmp_path, train=20) / "train-labels-idx1-ubyte"
    raw = path.read_bytes()
    path.unlink()
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(raw) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    path.with_suffix(".gz").write_bytes(packed)
    tracemalloc.start()
    with pytest.raises(InputError, match="too long or altered: its header announces 20 bytes, found more"):
        load_data(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()
    path.with_suffix(".gz").write_bytes(gzip.compress(idx((LARGEST + 1,), b"")))
    with pytest.raises(InputError, match="expected at most 784,000,000 bytes of values, found a header of 784,000,001"):
        load_data(tmp_path)


@pytest.mark.parametrize("harm", ["truncate", "flip", "other content"])
def test_the_packaged_files_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    for file in data_module.PACKAGED.glob("*.gz"):
        shutil.copy(file, tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    raw = bytearray(path.read_bytes())
    if harm == "truncate":
        raw = raw[:-100]
    elif harm == "flip":
        raw[1000] ^= 1
    else:
        content = bytearray(gzip.decompress(bytes(raw)))
        content[-1] ^= 1
        raw = bytearray(gzip.compress(bytes(content)))
    path.write_bytes(bytes(raw))
    monkeypatch.setattr(data_module, "PACKAGED", tmp_path)
    with pytest.raises(InputError, match="altered"):
        load_data()


def test_the_wheel_holds_the_data(tmp_path: Path) -> None:
    subprocess.run(["uv", "build", "--quiet", "--wheel", "-o", str(tmp_path)], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for name, digest in data_module.SHA256.items():
            raw = gzip.decompress(archive.read(f"digitset/data/files/{name}.gz"))
            assert hashlib.sha256(raw).hexdigest() == digest
        assert "digitset/data/files/NOTICE" in names
        assert any(name.endswith("licenses/LICENSE") for name in names)
