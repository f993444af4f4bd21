"""Files -> pictures: which files a person means, and what is on them, in grey.

Pillow decodes, and pillow-heif HEIC, which telephones save. Everything that can be wrong with a file is an InputError
of one line that names it.
"""

import glob
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float32, Float64
from PIL import ExifTags, Image, UnidentifiedImageError

from digitset.errors import InputError, some_of
from digitset.files import expect_regular

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".avif", ".jp2"),
    *(".heic", ".heif"),
)
# Of all that Pillow knows, what holds pixels and nothing else: no format here starts another program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1")  # what begins as one of these needs pillow-heif
LARGEST = 50_000_000  # pixels; known before any is decoded
KEPT = 16_000_000  # pixels; a picture of more, which a telephone's usually is not, is reduced while it is read
TILE = 1 << 20  # pixels that are made grey at once
TURNS = {  # how EXIF's orientations become upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
WIDE_GREY = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535}
Pixels = Float32[np.ndarray, "H W"] | Float32[np.ndarray, "H W 2"] | Float64[np.ndarray, "H W"]
CONTRAST = 0.25  # what is visible of a picture with transparency is ink alone if its greys differ by less


def find_pictures(paths: Iterable[str | Path]) -> list[Path]:
    """The files that paths, folders and patterns such as `scans/*.png` name, in the order of the arguments.

    Files of a folder (those whose suffix is a picture's, hidden ones and folders within left out) and of a pattern come
    in natural order: digit2 before digit10. A file that is named twice comes twice.

    Raises InputError for a path that does not exist and for a folder or a pattern that names no picture.
    """
    files: list[Path] = []
    for given in paths:
        if not str(given):
            raise InputError("expected the name of a picture, got an empty one")
        path = Path(given)
        if path.is_dir():
            inside = [entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES and entry.is_file()]
            more = sorted((entry for entry in inside if not entry.name.startswith(".")), key=natural)
            if not more:
                raise InputError(f"{path}: expected a folder with pictures ({' '.join(SUFFIXES)}), found none in it")
        elif path.exists() or not glob.has_magic(str(given)):
            more = [path]
        else:
            matches = [Path(match) for match in glob.glob(str(given), recursive=True)]  # noqa: PTH207, also absolute
            more = sorted((match for match in matches if match.is_file()), key=natural)
            if not more:
                raise InputError(f"{given}: expected a pattern that names pictures, found no file like it")
        files += more
    for path in files:
        if not path.exists():
            raise InputError(f"{path}: expected a picture, found no such file; check its name and folder")
    if not files:
        raise InputError("expected pictures: files, folders or patterns such as 'scans/*.png'; got none")
    return files


class NothingReadError(InputError):
    """None of some pictures was read; `refused` says why each, and `notes` what was left out or doubted."""

    def __init__(self, refused: list[str], notes: list[str]) -> None:
        super().__init__("; ".join(refused))
        self.refused, self.notes = refused, notes


def left_out(paths: Iterable[str | Path]) -> list[str]:
    """For each folder among the paths, a sentence on what is in it that `find_pictures` takes for no picture."""
    notes: list[str] = []
    for path in map(Path, paths):
        if not path.is_dir():
            continue
        inside = sorted((each for each in path.iterdir() if not each.name.startswith(".")), key=natural)
        names = [each.name for each in inside if each.is_file() and each.suffix.lower() not in SUFFIXES]
        names += [f"{each.name}/" for each in inside if not each.is_file()]
        if names:
            kinds = "files of the folder itself are read, if they end in one of"
            notes.append(f"{path}: left out {some_of(names, 3)}: {kinds} {' '.join(SUFFIXES)}")
    return notes


def natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts as people do: numbers by value, letters without case."""
    pieces = re.split(r"(\d+)", str(path).lower())
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]


def read_picture(path: str | Path) -> Float32[np.ndarray, "H W"]:
    """A picture file in grey, 0 (black) .. 1 (white), upright as its EXIF data say.

    Colours, palettes, CMYK, 1 bit and 16 bits become grey. 32-bit and floating-point grey have no white of their own:
    their darkest value is black and their lightest white. Transparency is laid on what leaves the ink visible: white,
    or black under ink that is light. A picture of more than 16 megapixels is reduced by area to at most that.

    Raises InputError if the file is no picture, damaged, empty, a folder, larger than 50 megapixels (none of which are
    decoded then), holds several frames, or is of one grey all over.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: expected a picture file, found a folder; name the files in it")
    expect_regular(path, "a picture file")  # a pipe might be waited for forever
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: expected a picture, found an empty file; save it again")
    return decode(path, str(path))


def decode(source: Path | BinaryIO, name: str, largest: int = LARGEST) -> Float32[np.ndarray, "H W"]:
    """What `read_picture` does, of a file or of bytes that are called `name`; at most `largest` pixels are decoded.

    Pillow's warnings, of odd tags for example, are the caller's. To silence them here would change the filters of the
    whole process, which two threads at once would not put back.
    """
    try:
        grey = _grey(name, *_opened(source, name, largest))
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{name}: expected a picture, found no such file; check its name and folder") from None
    except PermissionError:
        raise InputError(f"{name}: expected a picture that may be read; change its permissions") from None
    except UnidentifiedImageError:
        if _is_heic(source):
            raise InputError(f"{name}: damaged, or HEIC of a kind that cannot be decoded; export it as JPEG") from None
        raise InputError(
            f"{name}: expected a picture ({', '.join(FORMATS)}), found something else; save it as PNG or JPEG"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # the latter where warnings are errors
        raise _too_large(name, "far more", largest) from None
    except Exception as error:  # decoders raise whatever they meet in damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: damaged, or of a kind that cannot be decoded ({reason}); save it as PNG") from None
    if float(np.ptp(grey)) < 1 / 255:
        raise InputError(f"{name}: expected ink on paper, found the same grey all over; take another picture")
    return grey


def _opened(source: Path | BinaryIO, name: str, largest: int) -> tuple[str, Pixels, Image.Transpose | None]:
    """A picture's mode, its pixels, and the turn that makes it upright; what Pillow had decoded is gone."""
    with _image(source, name) as image:
        _check(name, image, largest)
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        return image.mode, _pixels(image), turn


def _image(source: Path | BinaryIO, name: str) -> Image.Image:
    """A picture of which the header was read. Raises InputError for HEIC without the extra."""
    try:
        return Image.open(source, formats=FORMATS)
    except UnidentifiedImageError:
        if not _is_heic(source):
            raise
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            f"{name}: found HEIC, as telephones save, which needs pillow-heif: install digitset[heic], or send or "
            "export it as JPEG"
        ) from None
    pillow_heif.register_heif_opener()
    if not isinstance(source, Path):
        source.seek(0)
    return Image.open(source, formats=("HEIF",))


def pixel_count(source: BinaryIO) -> int:
    """How many pixels a picture has, from its header; 0 for what `decode` refuses as no picture."""
    try:
        with _image(source, "picture") as image:
            return image.size[0] * image.size[1]
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return LARGEST + 1
    except Exception:  # headers can be damaged in as many ways as pixels
        return 0


def _is_heic(source: Path | BinaryIO) -> bool:
    """Whether bytes that Pillow does not know begin as HEIC does: ISO/IEC 23008-12 names its brands."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            begin = file.read(12)
    else:
        source.seek(0)
        begin = source.read(12)
    return begin[4:8] == b"ftyp" and begin[8:12] in HEIC


def _too_large(path: str, size: str, largest: int) -> InputError:
    return InputError(f"{path}: expected at most {largest // 10**6} megapixels, found {size}; make it smaller")


def _check(path: str, image: Image.Image, largest: int) -> None:
    """What the header says, before pixels are decoded."""
    wide, high = image.size
    if wide * high > largest:
        raise _too_large(path, f"{wide}x{high}", largest)
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a telephone's JPEG with a preview or a depth map behind the picture
        raise InputError(f"{path}: expected one picture, found {frames} frames or pages; save the one that you mean")


def _pixels(image: Image.Image) -> Pixels:
    """The values of a picture, part by part: decoded they take 4 bytes, as numbers 8 and more of them at a time.

    Grey is from 0 to 1, followed by opacity where there is transparency; values without a white of their own are as
    they are.
    """
    if max(_factors(*image.size)) > 1:
        image.draft(image.mode, (image.size[0] // 2, image.size[1] // 2))  # a JPEG is decoded at half its size
    (wide, high), (across, down) = image.size, _factors(*image.size)
    shape, pixels = (-(-high // down), -(-wide // across)), None
    for left, top, right, bottom in _tiles(wide, high, across, down):
        values = _values(image.crop((left, top, right, bottom)), image.mode)
        if across > 1 or down > 1:
            values = _by_area(values, (across, down))
        if pixels is None:
            pixels = np.empty(shape + values.shape[2:], values.dtype)
        rows = slice(top // down, top // down + values.shape[0])
        pixels[rows, left // across : left // across + values.shape[1]] = values
    assert pixels is not None
    return pixels


def _factors(wide: int, high: int) -> tuple[int, int]:
    """How many pixels across and down become one, so that not more than `KEPT` are left."""
    both = math.ceil(math.sqrt(wide * high / KEPT))
    across, down = min(both, wide), min(both, high)
    if both > high:
        across = math.ceil(wide / KEPT)
    if both > wide:
        down = math.ceil(high / KEPT)
    return across, down


def _tiles(wide: int, high: int, across: int, down: int) -> Iterator[tuple[int, int, int, int]]:
    """Boxes of about `TILE` pixels, whose sides are multiples of those that become one."""
    width = min(wide, TILE // down // across * across)
    height = max(down, TILE // width // down * down)
    for top in range(0, high, height):
        for left in range(0, wide, width):
            yield left, top, min(wide, left + width), min(high, top + height)


def _values(image: Image.Image, mode: str) -> Pixels:
    """The values of a part; see `_pixels`."""
    if mode in WIDE_GREY:
        return np.asarray(image, np.float32) / WIDE_GREY[mode]
    if mode in ("I", "F"):
        return np.asarray(image, np.float64)
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return np.asarray(image.convert("RGBA").convert("LA"), np.float32) / 255
    if mode == "LAB":
        image = image.getchannel(0)  # lightness is grey
    return np.asarray(image.convert("L"), np.float32) / 255


def _by_area(values: Pixels, factors: tuple[int, int]) -> Float32[np.ndarray, "_ _ *_"]:
    """The mean of each block; of grey with opacity, the mean of what can be seen."""
    if values.ndim == 2:
        return np.asarray(Image.fromarray(values.astype(np.float32)).reduce(factors))
    grey, opacity = (
        np.asarray(Image.fromarray(np.ascontiguousarray(part)).reduce(factors))
        for part in (values[..., 0] * values[..., 1], values[..., 1])
    )
    return np.stack([grey / np.maximum(opacity, np.float32(1e-6)), opacity], axis=-1)


def _grey(path: str, mode: str, pixels: Pixels, turn: Image.Transpose | None) -> Float32[np.ndarray, "H W"]:
    if mode in ("I", "F"):
        if not np.isfinite(pixels).all():
            raise InputError(f"{path}: expected numbers for pixels, found infinity or none; save it as PNG")
        pixels = ((pixels - pixels.min()) / max(np.ptp(pixels), 1e-12)).astype(np.float32)
    grey = _on_paper(pixels) if pixels.ndim == 3 else pixels.astype(np.float32, copy=False)
    return grey if turn is None else np.asarray(Image.fromarray(grey).transpose(turn))


def _on_paper(pixels: Float32[np.ndarray, "H W 2"]) -> Float32[np.ndarray, "H W"]:
    """Grey and opacity, laid on paper of the grey that a person takes for granted.

    What is opaque may be a whole picture with cut corners, whose paper goes on beneath them, or ink alone.
    """
    grey, opacity = pixels[..., 0], pixels[..., 1]
    visible = grey[opacity > 0.5]
    paper = 1.0
    if visible.size:
        darkest, middle, lightest = np.percentile(visible, [2, 50, 98], overwrite_input=True)
        if lightest - darkest > CONTRAST:
            paper = middle
        elif middle > 0.5:
            paper = 0.0
    laid = 1 - opacity
    laid *= np.float32(paper)
    laid += grey * opacity
    return laid


def reduced(grey: Float32[np.ndarray, "_ _"], longest: int) -> Float32[np.ndarray, "_ _"]:
    """The picture by area, so that neither side is longer than `longest`; as it is if neither is."""
    scale = longest / max(grey.shape)
    if scale >= 1:
        return grey
    return resized(grey, max(1, round(grey.shape[0] * scale)), max(1, round(grey.shape[1] * scale)))


def resized(values: Float32[np.ndarray, "_ _"], high: int, wide: int) -> Float32[np.ndarray, "_ _"]:
    """By area where pixels get fewer, between pixels where they get more."""
    fewer = high <= values.shape[0] and wide <= values.shape[1]
    way = Image.Resampling.BOX if fewer else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(values).resize((wide, high), way))
