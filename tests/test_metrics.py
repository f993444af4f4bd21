"""The lines of metrics say what they were written with; any other line, or one fewer, is an error that names it."""

import pytest

from digitset import InputError
from digitset.metrics import MetricsLine, Values, last_check, read_lines

WRITTEN: list[Values] = [
    {"step": 0, "note": "goes on elsewhere"},
    {"step": 10, "split": "train", "loss": 2.5, "accuracy": 0.25},
    {"step": 10, "split": "val", "accuracy": 0.5},
]


def content(written: list[Values]) -> bytes:
    raw, last = b"", None
    for values in written:
        line = MetricsLine.new(values, last)
        raw, last = raw + line.raw + b"\n", line.check
    return raw


def test_what_is_read_is_what_was_written() -> None:
    lines = read_lines(content(WRITTEN) + b'{"step": 20, "spl', "metrics.jsonl")  # a kill left the last one
    assert [line.values for line in lines] == WRITTEN
    assert last_check(lines) == lines[-1].check
    assert last_check([]) == 0


def test_every_byte_that_differs_is_found() -> None:
    whole = content(WRITTEN)
    for place in range(len(whole) - 1):  # without the last end of line, which makes the line an incomplete one
        damaged = whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
        with pytest.raises(InputError, match=r"^there: line [123]: "):
            read_lines(damaged, "there")


def test_a_line_that_is_missing_is_found() -> None:
    first, second, third, _ = content(WRITTEN).split(b"\n")
    for lines in ([second, third], [first, third], [first, third, second]):
        with pytest.raises(InputError, match="damaged"):
            read_lines(b"\n".join([*lines, b""]), "there")
