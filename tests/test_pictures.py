"""People's files: each kind of picture is read as it looks, each fault is one line that names the file."""

import io
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Outcome
from PIL import Image

from digitset.errors import InputError
from digitset.pictures import read
from digitset.pictures.read import decode, find_pictures, read_picture


def stroke() -> np.ndarray:
    """A dark L on white, uint8 [40, 30]: it tells how it is turned."""
    picture = np.full((40, 30), 255, np.uint8)
    picture[5:35, 6:10] = 0
    picture[31:35, 6:24] = 0
    return picture


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def rgba(ink: int, around: int = 0) -> Image.Image:
    """Ink of a grey on what is transparent (whose hidden colour is `around`)."""
    opaque = stroke() == 0
    grey = np.where(opaque, ink, around).astype(np.uint8)
    return Image.fromarray(np.dstack([grey, grey, grey, np.where(opaque, 255, 0).astype(np.uint8)]))


GREY = Image.fromarray(stroke())
KINDS = {
    "grey.png": (GREY, {}),
    "colour.png": (GREY.convert("RGB"), {}),
    "bit.png": (GREY.convert("1"), {}),
    "palette.png": (GREY.convert("P"), {}),
    "palette.gif": (GREY.convert("P"), {}),
    "transparent-palette.png": (GREY.convert("P"), {"transparency": 255}),
    "with-alpha.png": (GREY.convert("LA"), {}),
    "wide.png": (Image.fromarray(stroke().astype(np.uint16) * 257), {}),
    "wide.tif": (Image.fromarray(stroke().astype(np.uint16) * 257), {}),
    "wider.tif": (Image.fromarray(stroke().astype(np.int32) * 1000), {}),
    "real.tif": (Image.fromarray(stroke().astype(np.float32) * 7 - 3), {}),
    "print.tif": (GREY.convert("RGB").convert("CMYK"), {}),
    "print.jpg": (GREY.convert("RGB").convert("CMYK"), {"quality": 95}),
    "photo.jpg": (GREY.convert("RGB"), {"quality": 95}),
    "lossless.webp": (GREY.convert("RGB"), {"lossless": True}),
    "old.bmp": (GREY, {}),
    "plain.pgm": (GREY, {}),
    "black-on-nothing.png": (rgba(0), {}),
    "black-on-hidden-white.png": (rgba(0, 255), {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_read_as_it_looks(tmp_path: Path, name: str) -> None:
    image, options = KINDS[name]
    grey = read_picture(save(tmp_path / name, image, **options))
    assert grey.dtype == np.float32
    exact = 0.1 if name.endswith(".jpg") else 0.01
    assert np.abs(grey - stroke() / 255).max() < exact


def test_light_ink_on_nothing_is_on_black(tmp_path: Path) -> None:
    for around in (0, 255):
        assert np.allclose(read_picture(save(tmp_path / "chalk.png", rgba(255, around))), 1 - stroke() / 255)


def test_a_picture_with_cut_corners_has_no_corners(tmp_path: Path) -> None:
    paper = np.where(stroke() == 0, 20, 200).astype(np.uint8)
    opacity = np.full_like(paper, 255)
    opacity[:4, :4] = 0
    image = Image.fromarray(np.dstack([paper, paper, paper, opacity]))
    assert np.allclose(read_picture(save(tmp_path / "corners.png", image)), paper / 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    """Orientations as EXIF 2.3 defines them: what a viewer does is done backwards to the stored pixels."""
    ways = [None, 0, 3, 1, 5, 2, 6, 4]  # of Image.Transpose: each undoes the orientation of its place
    stored = GREY if ways[orientation - 1] is None else GREY.transpose(Image.Transpose(ways[orientation - 1]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("turned.png", "turned.jpg"):
        grey = read_picture(
            save(tmp_path / name, stored, exif=exif, **({"quality": 95} if name.endswith("jpg") else {}))
        )
        assert grey.shape == (40, 30)
        assert np.abs(grey - stroke() / 255).max() < 0.1


@pytest.mark.parametrize("name", KINDS)
def test_parts_make_the_same_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    image, options = KINDS[name]
    path = save(tmp_path / name, image, **options)
    whole = read_picture(path)
    monkeypatch.setattr(read, "TILE", 100)
    np.testing.assert_array_equal(read_picture(path), whole)


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_of_too_many_pixels_is_reduced_by_area(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    image, options = KINDS[name]
    monkeypatch.setattr(read, "TILE", 100)
    monkeypatch.setattr(read, "KEPT", 30 * 40 // 4)
    grey = read_picture(save(tmp_path / name, image, **options))
    expected = stroke().reshape(20, 2, 15, 2).mean(axis=(1, 3)) / 255
    assert np.abs(grey - expected).max() < (0.1 if name.endswith(".jpg") else 0.01)


@pytest.mark.parametrize(("wide", "high"), [(50_000_000, 1), (7, 7_000_000), (8_165, 6_123), (4_000, 4_000)])
def test_what_is_kept_is_bounded_whatever_the_shape(wide: int, high: int) -> None:
    across, down = read._factors(wide, high)
    assert -(-wide // across) * -(-high // down) <= read.KEPT
    assert (across, down) == (1, 1) or -(-wide // across) * -(-high // down) > read.KEPT / 4


MEASURED = """
import resource, sys
from digitset.pictures.read import read_picture
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(read_picture(sys.argv[1]).size, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10)
"""


@pytest.mark.parametrize(
    ("mode", "wide", "high", "most"),
    [("I;16", 8_000, 6_100, 250), ("L", 49_000_000, 1, 250), ("RGBA", 7_000, 7_000, 400)],
)
def test_fifty_megapixels_take_bounded_memory(tmp_path: Path, mode: str, wide: int, high: int, most: int) -> None:
    """MiB above what the process had; of these, Pillow's own pixels are 2, 1 and 4 bytes each."""
    image = Image.new(mode, (wide, high), (9, 9, 9, 255) if mode == "RGBA" else 9)
    image.paste((200, 200, 200, 255) if mode == "RGBA" else 200, (0, 0, wide // 2, high))
    path = save(tmp_path / "huge.png", image, compress_level=1)
    command = [sys.executable, "-c", MEASURED, str(path)]
    pixels, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(pixels) <= read.KEPT
    assert float(memory) < most


def huge_png(wide: int, high: int) -> bytes:
    """A PNG of a few bytes that says it is large."""
    header = struct.pack(">IIBBBBB", wide, high, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def refused(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sizes", [(10_000, 5_001), (10_000, 10_000), (20_000, 20_000)])
def test_what_is_huge_is_not_decoded(tmp_path: Path, sizes: tuple[int, int]) -> None:
    (tmp_path / "huge.png").write_bytes(huge_png(*sizes))
    refused(tmp_path / "huge.png", "at most 50 megapixels, found (10000x|far more).*make it smaller")


@pytest.mark.parametrize("name", ["moving.gif", "moving.png", "moving.webp", "pages.tif"])
def test_one_picture_a_file(tmp_path: Path, name: str) -> None:
    save(tmp_path / name, GREY, save_all=True, append_images=[GREY.rotate(90), GREY.rotate(180)])
    refused(tmp_path / name, "expected one picture, found 3 frames or pages")


def test_what_is_no_picture(tmp_path: Path) -> None:
    refused(tmp_path, "found a folder")
    refused(tmp_path / "none.png", "found no such file")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "found an empty file")
    (tmp_path / "notes.png").write_text("not a picture\n" * 100)
    refused(tmp_path / "notes.png", "found something else; save it as PNG or JPEG")
    (tmp_path / "program.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    refused(tmp_path / "program.eps", "found something else")
    refused(save(tmp_path / "white.png", Image.new("L", (30, 30), 255)), "found the same grey all over")
    refused(save(tmp_path / "nothing.png", Image.new("RGBA", (30, 30), (0, 0, 0, 0))), "the same grey all over")
    endless = np.full((30, 30), np.inf, np.float32)
    refused(save(tmp_path / "endless.tif", Image.fromarray(endless)), "found infinity")


def test_heic_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a folder, where it is no file that is left out."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    refused(tmp_path / "IMG_1.HEIC", r"found HEIC, .*: install digitset\[heic\], or send or export it as JPEG")
    assert find_pictures([tmp_path]) == [tmp_path / "IMG_1.HEIC"]


def test_heic_is_read_with_its_library(tmp_path: Path) -> None:
    """Within the limit of pixels, and damaged in one line."""
    pytest.importorskip("pillow_heif").register_heif_opener()
    path = save(tmp_path / "IMG_1.HEIC", GREY.convert("RGB"), format="HEIF", quality=95)
    assert path.read_bytes()[4:12] == b"ftypheic"
    assert np.abs(read_picture(path) - stroke() / 255).max() < 0.1
    with path.open("rb") as file:
        assert read.pixel_count(file) == 40 * 30
        with pytest.raises(InputError, match="IMG: expected at most 0 megapixels"):
            decode(file, "IMG", 1000)
    whole = path.read_bytes()
    for size in (40, len(whole) // 2):
        path.write_bytes(whole[:size])
        refused(path, "damaged")


def grey_or_line(path: Path) -> np.ndarray | str:
    try:
        return read_picture(path)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp", "a.tif", "a.bmp", "a.jp2", "a.avif", "a.pgm"])
def test_damaged_files_are_one_line(tmp_path: Path, name: str) -> None:
    """Cut short: one line. With bytes changed anywhere: a picture or one line."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
    whole = save(tmp_path / name, Image.fromarray(noise)).read_bytes()
    path = tmp_path / f"damaged{Path(name).suffix}"
    for size in {1, 7, 20, len(whole) // 4, len(whole) // 2}:
        path.write_bytes(whole[:size])
        refused(path, "found something else|damaged")
    draw = np.random.default_rng(1)
    for _ in range(40):
        altered = bytearray(whole)
        for place in draw.integers(0, len(whole), 4):
            altered[place] = draw.integers(256)
        path.write_bytes(bytes(altered))
        found = grey_or_line(path)
        assert "\n" not in found if isinstance(found, str) else found.ndim == 2


def test_files_are_found_in_natural_order(tmp_path: Path) -> None:
    for name in ("d10.png", "d2.PNG", "d1.jpg", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()

    def names(*given: str | Path) -> list[str]:
        return [path.name for path in find_pictures(given)]

    assert names(tmp_path) == ["d1.jpg", "d2.PNG", "d10.png"]
    assert names(tmp_path / "d*.png", tmp_path / "d1.jpg") == ["d10.png", "d1.jpg"]
    assert names(f"{tmp_path}/**/d*") == ["d1.jpg", "d2.PNG", "d10.png"]
    assert names(tmp_path / "d2.PNG", tmp_path / "d2.PNG") == ["d2.PNG", "d2.PNG"]
    (tmp_path / "odd[1].png").touch()
    assert names(tmp_path / "odd[1].png") == ["odd[1].png"]


def test_nothing_found_is_one_line(tmp_path: Path) -> None:
    cases = [
        ([], "expected pictures: files, folders or patterns"),
        ([tmp_path], "expected a folder with pictures"),
        ([tmp_path / "*.png"], "expected a pattern that names pictures"),
        ([tmp_path / "none.png"], "found no such file"),
    ]
    for given, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            find_pictures(given)
        assert "\n" not in str(caught.value)


class Slow(io.BytesIO):
    """A file whose first read waits."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.opened, self.may_go_on = threading.Event(), threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        self.opened.set()
        assert self.may_go_on.wait(5)
        return super().read(size)


def test_two_threads_leave_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    """The one that begins first ends first: what the second then puts back must not be what the first had set."""
    content = save(tmp_path / "a.png", GREY).read_bytes()
    before, files = list(warnings.filters), [Slow(content), Slow(content)]
    with ThreadPoolExecutor(2) as threads:
        decoded = []
        for file in files:
            decoded.append(threads.submit(decode, file, "a.png"))
            assert file.opened.wait(5)
        for file, future in zip(files, decoded, strict=True):
            file.may_go_on.set()
            assert future.result().shape == GREY.size[::-1]
    assert warnings.filters == before


def test_the_command_is_silent_about_what_pillow_warns_of(command: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(huge_png(10_000, 10_000))
    outcome = command("predict", "sum", tmp_path / "huge.png")
    assert outcome.code == 2
    assert outcome.errors.endswith("at most 50 megapixels, found 10000x10000; make it smaller\n")
