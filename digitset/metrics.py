"""The lines of metrics.jsonl, each with a check of itself and of all before it."""

import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

from digitset.errors import InputError

Values = dict[str, Any]
CHECKED_LINE = re.compile(rb'(.*), "check": "([0-9a-f]{8})"\}')
REQUIRED = {"": set[str](), "train": {"loss", "accuracy"}, "val": {"accuracy"}}  # by "split"


@dataclass(frozen=True)
class MetricsLine:
    """A line of metrics. Its check is the CRC-32 of it and of all checked lines before; older versions wrote none."""

    raw: bytes
    values: Values
    check: int | None

    @classmethod
    def new(cls, values: Values, last: int | None) -> "MetricsLine":
        """The line that follows one with the check `last`."""
        body = json.dumps(values).encode()
        check = zlib.crc32(body, last or 0)
        return cls(b'%b, "check": "%08x"}' % (body[:-1], check), values, check)

    @classmethod
    def of(cls, raw: bytes, last: int | None, where: str) -> "MetricsLine":
        """The line that was written after one with the check `last`. Raises InputError that begins with `where`."""
        match, check = CHECKED_LINE.fullmatch(raw), None
        body = raw if match is None else match[1] + b"}"
        if match is not None:
            check = int(match[2], 16)
        if (check is None and last is not None) or (check is not None and check != zlib.crc32(body, last or 0)):
            raise InputError(f"{where}: damaged: it does not have the check of this line and those before it")
        try:
            loaded = json.loads(body)
        except (ValueError, RecursionError):
            raise InputError(f"{where}: damaged: not readable as JSON") from None
        values: Values = loaded if isinstance(loaded, dict) else {}
        texts = {name for name, value in values.items() if type(value) not in (int, float)}
        split = values.get("split", "")
        required = REQUIRED.get(split) if isinstance(split, str) else None
        if type(values.get("step")) is not int or required is None or not required <= values.keys() - texts:
            raise InputError(f"{where}: expected a step, and scores of 'train' or 'val'")
        if values["step"] < 0 or not 0 <= values.get("accuracy", 0) <= 1:
            raise InputError(f"{where}: expected a step of at least 0 and an accuracy from 0 to 1")
        if others := {name for name in texts if name not in ("split", "note") or not isinstance(values[name], str)}:
            raise InputError(f"{where}: expected numbers, got something else as {', '.join(sorted(others))}")
        return cls(raw, values, check)


def read_lines(content: bytes, path: str) -> list[MetricsLine]:
    """The lines of a file. An incomplete last one, which a kill leaves, is left out.

    Raises InputError, which names the line, if one is damaged or missing.
    """
    *raw, _ = content.split(b"\n")
    lines: list[MetricsLine] = []
    last = None
    for number, line in enumerate(raw, start=1):
        lines.append(MetricsLine.of(line, last, f"{path}: line {number}"))
        last = lines[-1].check
    return lines


def last_check(lines: list[MetricsLine]) -> int:
    """The check of the last line; 0 if there is none or it has none."""
    return (lines[-1].check or 0) if lines else 0
