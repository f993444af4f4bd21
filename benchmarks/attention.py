"""How fast attention is by plain products, and by torch's fused kernel.

    uv run benchmarks/attention.py [--keys 5 17 49] [--tokens 4096] [--device cpu] [--out results/attention.csv]

Self-attention of `--tokens` tokens in sequences of so many keys, width 64 in four heads. On a CPU it is processor time
of one thread, medians of the two ways in turn, so that a busy machine disturbs both alike; on another device, seconds.
`PLAIN_KEYS` in digitset/layers.py was chosen from these figures.
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import expect_committed, show, start
from torch import Tensor

from digitset import layers
from digitset.device import choose_device, keep_freed_memory, wait_for

WIDTH, HEADS = 64, 4
REPEATS = 9


def main(
    keys: tuple[int, ...] = (1, 5, 10, 17, 49, 100, 200, 400),
    tokens: int = 4096,
    device: str = "cpu",
    out: Path = Path("results/attention.csv"),
) -> None:
    """Measures and writes.

    Args:
        keys: Lengths of sequences.
        tokens: Tokens at a time.
        device: cpu, cuda, mps or auto.
        out: The CSV to write.
    """
    expect_committed(out)
    chosen = choose_device(device)
    torch.set_num_threads(1)
    keep_freed_memory()
    for precision in ("float32", "bfloat16") if keys else ():
        for masked in (False, True):
            rows = [row for length in keys for row in ratios(length, tokens // length, precision, masked, chosen)]
            show(f"{precision}, {'with' if masked else 'without'} padding, {chosen.type}", rows, out)


def ratios(length: int, rows: int, precision: str, masked: bool, device: torch.device) -> list[tuple[str, float]]:
    """How many times as long the fused way takes as plain products, with gradients and without."""
    torch.manual_seed(0)
    dtype = getattr(torch, precision)
    shape = (rows, HEADS, length, WIDTH // HEADS)
    query, key, value = (torch.randn(shape, device=device, dtype=dtype, requires_grad=True) for _ in range(3))
    visible = None
    if masked:
        visible = (torch.arange(length) < torch.randint(1, length + 1, (rows, 1)))[:, None, None].to(device)
        value = value.detach().masked_fill(~visible.transpose(2, 3), 0).requires_grad_()
    upstream = torch.randn(shape, device=device, dtype=dtype)

    def forward(attend: Callable[..., Tensor]) -> None:
        with torch.no_grad():
            attend(query, key, value, visible)

    def both(attend: Callable[..., Tensor]) -> None:
        torch.autograd.grad(attend(query, key, value, visible), (query, key, value), upstream)

    measured = {f"{length} keys, forward and backward": both, f"{length} keys, forward": forward}
    return [
        (
            f"{name}, fused / plain",
            ratio(lambda work=work: work(layers.fused), lambda work=work: work(layers.plain), device),
        )
        for name, work in measured.items()
    ]


def ratio(first: Callable[[], None], second: Callable[[], None], device: torch.device) -> float:
    """The median time of the first divided by that of the second, measured in turn after one call of each."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(REPEATS + 1):
        for work, of_work in zip((first, second), times, strict=True):
            begin = clock()
            work()
            wait_for(device)
            if turn:
                of_work.append(clock() - begin)
    return sorted(times[0])[REPEATS // 2] / sorted(times[1])[REPEATS // 2]


if __name__ == "__main__":
    start(main)
