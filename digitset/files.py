"""Files: read within bounds and as typed values, written whole; folders that one process at a time writes to."""

import contextlib
import hashlib
import json
import os
import re
import socket
import stat
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar

import filelock
import msgspec

from digitset.errors import InputError

LOCK = ".lock"
CHECKSUM = "checksum"  # the key of a JSON file under which its own checksum stands
MOST_JSON = 16 << 20  # bytes of a JSON file; those of a run have some thousands
MOST_INTEGER = 1 << 53  # of a count in a file: what every reader of JSON has exactly
LEFT_OVER = re.compile(r"\.(.+)\.\d+")  # a file that a killed process was writing

T = TypeVar("T")


@contextlib.contextmanager
def opened(path: Path, what: str) -> Generator[BinaryIO, None, None]:
    """A file to read. Raises InputError if it is not there or not a regular file: a pipe might be waited for forever.

    `what` says what was expected.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise InputError(f"{path}: expected {what}, found no such file") from None
    except ValueError as error:  # a zero byte in a name
        raise InputError(f"{path!s:.200}: expected {what}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: expected {what}: {error.strerror}") from None
    if kind := _other_kind(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{path}: expected {what}, found {kind}")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def read_whole(path: Path, most: int, what: str) -> bytes:
    """The bytes of a regular file. Raises InputError as `opened` does, and if there are more than `most`."""
    with opened(path, what) as file:
        known = os.fstat(file.fileno()).st_size
        content = file.read(known + 1) if known <= most else b""  # a buffer of all that may come costs time
    if max(known, len(content)) > most:
        raise InputError(f"{path}: expected {what} of at most {most:,} bytes, found more")
    return content


def expect_regular(path: Path, what: str) -> None:
    """Raises InputError if something that is no regular file has this path, which may also be free."""
    try:
        kind = _other_kind(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return
    if kind:
        raise InputError(f"{path}: expected {what}, found {kind}")


def _other_kind(mode: int) -> str:
    """What a file is if it is no regular one; empty if it is."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    kinds |= {stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return "" if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "something else")


def read_json(path: Path, kind: type[T]) -> T:
    """The values of a JSON file as a type that msgspec knows; a checksum in it is checked.

    Raises InputError, which names the place, for anything else: bytes that are no JSON, levels without end, a key that
    is missing or of another type, a checksum that differs.
    """
    raw = read_whole(path, MOST_JSON, "a JSON file")
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError) as error:  # also bytes that are no text, and an integer of 5,000 digits
        raise InputError(f"{path}: damaged: not readable as JSON ({_line(error)})") from None
    if isinstance(values, dict) and CHECKSUM in values:
        said = values.pop(CHECKSUM)
        if said != checksum_of(values):
            raise InputError(f"{path}: damaged: its values do not have the checksum that stands in it")
    return _typed(values, kind, f"{path}: ")


def has_checksum(path: Path) -> bool:
    """Whether a JSON file says its own checksum; those of older versions do not."""
    return f'"{CHECKSUM}"'.encode() in read_whole(path, MOST_JSON, "a JSON file")


def checksum_of(values: object) -> str:
    """SHA-256 of JSON values, whatever the order of keys and the white space are."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def to_json(values: Mapping[str, object]) -> bytes:
    """A JSON file with its checksum, as `read_json` reads it."""
    return (json.dumps({**values, CHECKSUM: checksum_of(values)}, indent=2) + "\n").encode()


def _typed(values: object, kind: type[T], where: str) -> T:
    """Plain values as a type that msgspec knows, strictly. Raises InputError that begins with `where`."""
    try:
        return msgspec.convert(values, kind, str_keys=True, dec_hook=_as_path)
    except (msgspec.ValidationError, RecursionError) as error:
        said, _, place = _line(error).partition(" - at `$")
        place = place.strip("`.")
        said = said.replace("`", "")
        raise InputError(f"{where}{place + ': ' if place else ''}{said[:1].lower()}{said[1:]}") from None


def _as_path(kind: type, value: object) -> object:
    """What msgspec does not know."""
    if issubclass(kind, Path) and isinstance(value, str):
        return Path(value)
    raise ValueError(f"Expected `str`, got `{type(value).__name__}`")


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file atomically: after a crash or on a full disk, the old one is still there.

    Raises InputError if a folder, a pipe or a device has its name.
    """
    expect_regular(path, "the name of a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "nt":  # where a folder cannot be opened
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def flushed(path: Path) -> None:
    """Returns when a file, if it is there, is on the disk."""
    with contextlib.suppress(FileNotFoundError), path.open("rb+") as file:
        os.fsync(file.fileno())


def as_text(name: str | Path) -> str:
    """A name as a text or a figure can hold it: one in a folder need not be text."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def left_over(name: str) -> str:
    """The name of the file that a process was writing, or is, under another name; empty if it is none of those."""
    match = LEFT_OVER.fullmatch(name)
    return match[1] if match else ""


def remove_left_over(folder: Path, names: Iterable[str]) -> None:
    """Removes what killed processes were writing under these names. Only for who has the lock of the folder."""
    for path in folder.iterdir():
        if left_over(path.name) in names:
            path.unlink(missing_ok=True)


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:200].strip() or "another process"
    except OSError:  # Windows lets nobody else read it
        return "another process"


def expect_folder(path: Path) -> None:
    """Raises InputError if something that is no folder has this path, which may also be free."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: expected a folder or nothing, found a file; choose another --out")


@contextlib.contextmanager
def writing(folder: Path) -> Generator[None, None, None]:
    """A context for the one process that writes a folder, which is made; nothing stays of it if it stays empty.

    Raises InputError if another process is in it, or a file has the name of the folder or of one around it.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    expect_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except NotADirectoryError:
        raise InputError(f"{folder}: expected folders around it, found a file; choose another --out") from None
    try:
        with locked(folder):
            yield
    finally:
        with contextlib.suppress(OSError):  # one that holds files ends it
            for each in made:
                each.rmdir()


@contextlib.contextmanager
def locked(folder: Path, otherwise: str = " or choose another --out") -> Generator[None, None, None]:
    """A context that one process at a time is in, for a folder, which is there. Others may read in it meanwhile.

    The lock is the system's and ends with the process, however it ends. Raises InputError, which says who is at work,
    where another is in it, and to wait; `otherwise` is what else can be done.
    """
    path = folder / LOCK
    expect_regular(path, "a file or nothing")
    lock = filelock.FileLock(path, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InputError(f"{folder}: {_holder(path)} is at work there; wait for it{otherwise}") from None
    try:
        with contextlib.suppress(OSError):  # only who it is: the lock holds without
            path.write_text(f"another process ({os.getpid()} on {socket.gethostname()})", encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):  # so that none stays; who waited for this file sees that it is gone
            path.unlink()
        lock.release()
