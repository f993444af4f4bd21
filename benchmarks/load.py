"""The service under load: every answer compared with the library's, beside callers who mean no good.

    uv run --extra demo benchmarks/load.py [--model sum/transformer] [--clients 50] [--seconds 30]

Three cases, each with so many callers that ask one question after the other: alone; beside 20 that ask about 1,000
images each; beside 100 connections that send half a head of a request and 20 that send bodies which are too large.

The callers whose times are measured are one process of this machine, those beside them another one, so that nobody
waits for them but the service. Whatever else runs there takes its part: `load before` says how many processes wanted a
core in the minute before. Seconds of the processor are those of the service alone.
"""

import asyncio
import base64
import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from measure import Rows, expect_committed, show, start

from digitset.data.mnist import load_data
from digitset.errors import InputError
from digitset.inference.predictor import load

LARGE, HALF_OPEN, OVERSIZED = 20, 100, 20  # callers beside the others
TOLERANCE = 1e-3
HEAD = b"POST /v1/predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


@dataclass
class Seen:
    """What the callers of a case got."""

    seconds: list[float] = field(default_factory=list[float])
    statuses: Counter[int] = field(default_factory=Counter[int])
    wrong: int = 0
    lost: int = 0  # connections that broke before there was an answer


@dataclass(frozen=True)
class Asked:
    """Questions as they are sent, and the answers of the library."""

    bodies: list[bytes]
    answers: list[float]

    @classmethod
    def of(cls, name: str, lengths: list[int]) -> "Asked":
        predictor, images = load(name, "cpu"), load_data().test.images.numpy()
        if predictor.task.single_image:
            lengths = [1] * len(lengths)
        sequences = [images[start : start + length] for start, length in enumerate(lengths)]
        anchors = images[-len(lengths) :] if predictor.task.anchored else None
        bodies = []
        for index, sequence in enumerate(sequences):
            question: dict[str, Any] = {"model": name, "images": [_written(image) for image in sequence]}
            if anchors is not None:
                question["anchor"] = _written(anchors[index])
            bodies.append(json.dumps(question).encode())
        return cls(bodies, predictor.predict(sequences, anchors).tolist())


def _written(image: np.ndarray) -> str:
    return base64.b64encode(image.tobytes()).decode()


@contextlib.contextmanager
def service(name: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address and the process of a service that is started for this."""
    command = [sys.executable, "-m", "digitset", "demo", name, "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline().split()[0], process
    finally:
        process.terminate()
        process.wait()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> tuple[int, bytes]:
    """The status and the content of the answer to a question. Without a library, whose 2 ms would be measured too."""
    writer.write(HEAD % len(body) + body)
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    (length,) = [int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")]
    return int(first.split()[1]), await reader.readexactly(length)


async def caller(address: str, asked: Asked, seen: Seen, end: float, seed: int) -> None:
    """Asks one question after the other on one connection; on a new one if it breaks, after a second if told so."""
    draw, connection = random.Random(seed), None
    while time.monotonic() < end:
        index, began = draw.randrange(len(asked.bodies)), time.perf_counter()
        try:
            connection = connection or await asyncio.open_connection(*address.removeprefix("http://").split(":"))
            status, content = await asyncio.wait_for(ask(*connection, asked.bodies[index]), 120)
        except (OSError, EOFError, TimeoutError):
            seen.lost, connection = seen.lost + 1, None
            continue
        seen.statuses[status] += 1
        if status == 200:
            seen.seconds.append(time.perf_counter() - began)
            expected = asked.answers[index]
            seen.wrong += abs(json.loads(content)["answer"] - expected) > TOLERANCE * max(1, abs(expected))
        else:
            connection[1].close()
            connection = None
            await asyncio.sleep(1)
    if connection is not None:
        connection[1].close()


async def half_open(address: str, end: float) -> None:
    """Sends half a head, and again as soon as it is cut off."""
    host, port = address.removeprefix("http://").split(":")
    while time.monotonic() < end:
        with contextlib.suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST /v1/predict HTTP/1.1\r\nhost: ")
            await asyncio.wait_for(reader.read(), max(0.1, end - time.monotonic()))
            writer.close()


async def oversized(address: str, end: float) -> None:
    """Sends bodies of 6.5 MB. Certificates are not read: that takes 25 ms a client."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 2**16

    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            async with httpx.AsyncClient(base_url=address, timeout=120, verify=False) as client:
                await client.post("/v1/predict", content=chunks(), headers={"content-type": "application/json"})


async def callers(address: str, asked: Asked, clients: int, end: float) -> Seen:
    """What so many callers see who ask until `end`."""
    seen = Seen()
    await asyncio.gather(*(caller(address, asked, seen, end, seed) for seed in range(clients)))
    return seen


async def others(address: str, kind: str, large: Asked, end: float) -> Seen:
    """What others do beside them until `end`, and what they see where they ask something that is answered."""
    if kind == "large":
        return await callers(address, large, LARGE, end)
    if kind == "hostile":
        work = [half_open(address, end) for _ in range(HALF_OPEN)]
        await asyncio.gather(*work, *(oversized(address, end) for _ in range(OVERSIZED)))
    return Seen()


def run_others(address: str, kind: str, large: Asked, end: float) -> Seen:
    """The same in a process of its own."""
    return asyncio.run(others(address, kind, large, end))


def peak(process: subprocess.Popen[str]) -> float:
    """MiB, the most that a process had so far; NaN where the system does not say."""
    status = Path(f"/proc/{process.pid}/status")
    return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10 if status.is_file() else float("nan")


def processor_seconds(process: subprocess.Popen[str]) -> float:
    """What a process has taken of the processor so far; NaN where the system does not say."""
    path = Path(f"/proc/{process.pid}/stat")
    if not path.is_file():
        return float("nan")
    in_program, in_system = path.read_text().rpartition(")")[2].split()[11:13]  # after the name, which is in brackets
    return (int(in_program) + int(in_system)) / os.sysconf("SC_CLK_TCK")


def rows_of(kind: str, seen: Seen, seconds: float, processor: float, memory: float) -> Rows:
    """What a case of so many seconds shows; `processor` seconds and MiB of `memory` are the service's."""
    ordered, answers = sorted(seen.seconds) or [float("inf")], len(seen.seconds)
    other = sum(seen.statuses.values()) - seen.statuses[200] - seen.statuses[503]
    return [
        (f"{kind}: answers per s", answers / seconds),
        (f"{kind}: wrong answers", seen.wrong),
        (f"{kind}: come back later", seen.statuses[503]),
        (f"{kind}: other statuses", other),
        (f"{kind}: broken connections", seen.lost),
        (f"{kind}: median ms", 1e3 * ordered[len(ordered) // 2]),
        (f"{kind}: 99 % ms", 1e3 * ordered[int(0.99 * (len(ordered) - 1))]),
        (f"{kind}: processor s per s", processor / seconds),
        (f"{kind}: MiB, highest so far", memory),
    ]


def main(
    model: str = "sum/transformer", clients: int = 50, seconds: float = 30, out: Path = Path("results/load.csv")
) -> None:
    expect_committed(out)
    if clients < 1 or seconds <= 0:
        raise InputError(f"--clients, --seconds: expected at least 1 and more than 0, got {clients} and {seconds:g}")
    asked, large = Asked.of(model, [1 + index % 10 for index in range(200)]), Asked.of(model, [1_000] * 5)
    load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    rows: Rows = [("machine: cores", os.cpu_count() or 0), ("machine: load before", load_before)]
    with service(model) as (address, process), ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(run_others, address, "alone", large, 0.0).result()  # it is there before anything is measured
        for kind in ("alone", "large", "hostile"):
            before, end = processor_seconds(process), time.monotonic() + seconds
            beside = pool.submit(run_others, address, kind, large, end)
            seen = asyncio.run(callers(address, asked, clients, end))
            seen.wrong += beside.result().wrong
            rows += rows_of(kind, seen, seconds, processor_seconds(process) - before, peak(process))
    show(f"{model}, {clients} callers", rows, out)


if __name__ == "__main__":
    start(main)
