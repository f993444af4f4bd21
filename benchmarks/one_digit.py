"""Trains the network that says whether a picture shows one digit: `digitset/pictures/one_digit.safetensors`.

    uv run benchmarks/one_digit.py [--steps 3000] [--out digitset/pictures/one_digit.safetensors]
    uv run benchmarks/one_digit.py --begin digitset/pictures/one_digit.safetensors --steps 500 --rate 5e-4

The first trains from random weights, the second trains weights on. The packaged ones had both: upright ones came to the
drawings after the first.

Half of the images of a step are MNIST's training digits as any hand writes them, with some printed ones among them; the
others are what `no_digits.py` draws, under the same maps. What was drawn and a stopped training are kept under
`runs/one_digit`. Printed on the way: of validation digits, how many are below some thresholds, and how many of other
drawings are above.
"""

import functools
import io
from collections.abc import Callable
from pathlib import Path

import handwriting
import no_digits
import numpy as np
import torch
from jaxtyping import Int64, UInt8
from measure import start
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from digitset.data.mnist import Digits, load_data
from digitset.device import choose_device
from digitset.files import write_whole
from digitset.pictures.one_digit import KINDS, WEIGHTS, OneDigit
from digitset.rng import derive, generator, torch_seeded
from digitset.run import Run
from digitset.run_folder import halved, to_bytes
from digitset.training.loop import descend
from digitset.training.optimizer import optimizers

RUNS = Path("runs/one_digit")
BATCH = 256
DRAWN = 36  # of the digits of a step, at most: upright ones and each of `handwriting.FORMS`, by pens of any width
WIDTHS, STRETCH = (1.4, 5.2), (-0.45, 0.75)  # of those: see `handwriting.drawn`
UPRIGHT, THICKEST = "1, upright", 6.5  # its name in reports, and the widest pen in pixels
BEND = 0.04  # less than `handwriting.BEND`: what is bent more is at times neither a digit nor a letter
LEASTS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)  # thresholds of which is reported
# How many drawings of each kind there are. Printed digits are digits; marks by a pen are letters and signs.
COUNTS = {
    "printed": 1_500,
    "letters": 5_500,
    "letters by a pen": 2_500,
    "a sign": 2_500,
    "a sign by a pen": 1_200,
    "several digits": 3_500,
    "a part of a digit": 700,
    "lines": 3_500,
    "a blot": 1_300,
}
EVERY = 250  # steps between checkpoints and reports
console = Console()


def main(steps: int = 3_000, rate: float = 3e-3, seed: int = 0, begin: Path | None = None, out: Path = WEIGHTS) -> None:
    """Draws, trains and writes.

    Args:
        steps: How many, of 256 images each.
        rate: The learning rate.
        seed: Of the drawings, the initial weights and the batches.
        begin: A file of weights that are trained on, instead of random ones.
        out: The file of weights to write.
    """
    data = load_data()
    drawings = [_kept(f"drawn{seed}", lambda: draw_all(data.train, COUNTS, derive(seed, "drawings")))]
    few = {kind: count // 10 for kind, count in COUNTS.items()}
    choosing, fonts = derive(seed, "validation drawings"), no_digits.CHOOSING
    drawings.append(_kept(f"validation{seed}", lambda: draw_all(data.val, few, choosing, fonts)))
    run = Run("classify", seed=seed, steps=steps, learning_rate=rate, weight_decay=0.1)
    network = train(run, begin, data.train, drawings[0], lambda step, net: report(step, net, data.val, drawings[1]))
    write_whole(out, to_bytes(halved(network.state_dict())))
    console.print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


Drawings = tuple[UInt8[Tensor, "N 28 28"], Int64[Tensor, " N"]]  # with the number of their kind


def _kept(name: str, make: Callable[[], Drawings]) -> Drawings:
    """Drawings that were made before, or made now and kept: they take minutes."""
    path = RUNS / f"{name}.npz"
    if not path.exists():
        images, kinds = make()
        RUNS.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.savez_compressed(content, images=images, kinds=kinds)
        write_whole(path, content.getvalue())
    with np.load(path) as saved:
        return torch.from_numpy(saved["images"]), torch.from_numpy(saved["kinds"])


def draw_all(digits: Digits, counts: dict[str, int], seed: int, fonts: tuple[str, ...] = no_digits.LEARNED) -> Drawings:
    """So many drawings of each kind. Digits are of the given ones, parts of those whose parts are no digits."""
    images, some = digits.images.numpy(), digits.images[(digits.labels > 1) & (digits.labels < 6)].numpy()
    makers: dict[str, Callable[[np.random.Generator], no_digits.Ink]] = {
        "printed": functools.partial(no_digits.printed_digit, fonts=fonts),
        "letters": functools.partial(no_digits.letter, fonts=fonts),
        "letters by a pen": functools.partial(no_digits.by_pen, marks=no_digits.PEN_LETTERS),
        "a sign": functools.partial(no_digits.sign, fonts=fonts),
        "a sign by a pen": functools.partial(no_digits.by_pen, marks=no_digits.PEN_SIGNS),
        "several digits": functools.partial(no_digits.several, digits=images),
        "a part of a digit": functools.partial(no_digits.part_of_digit, digits=some),
        "lines": no_digits.lines,
        "a blot": no_digits.blot,
    }
    draw, drawn, kinds = np.random.default_rng(seed), [], []
    for kind, count in counts.items():
        of_kind = [no_digits.as_mnist(makers[kind](draw)) for _ in range(count)]
        seen = [image for image in of_kind if image is not None]
        drawn += seen
        kinds += [0 if kind == "printed" else KINDS.index(kind.removesuffix(" by a pen"))] * len(seen)
    return torch.from_numpy(np.stack(drawn)), torch.tensor(kinds)


def train(
    run: Run, begin: Path | None, digits: Digits, drawings: Drawings, report: Callable[[int, OneDigit], None]
) -> OneDigit:
    """Steps until the end, from the last checkpoint of the same length, seed and beginning where there is one."""
    seed, steps = run.seed, run.steps
    with torch_seeded(derive(seed, "initial weights"), torch.device("cpu")):
        network = OneDigit().to(memory_format=torch.channels_last)
    if begin is not None:
        network.load_state_dict(load_file(begin))
        report(0, network)
    (optimizer,) = optimizers(run, network, choose_device("cpu"))
    checkpoint, first = RUNS / f"checkpoint{seed}-{steps}{'' if begin is None else '-on'}.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    for step in range(first, steps):
        images, kinds = batch(digits, drawings, generator(seed, "one digit", step))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(network(images), kinds)
        descend(run, network, [optimizer], loss, step)
        if (step + 1) % EVERY == 0 or step + 1 == steps:
            state = {"step": step + 1, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
            content = io.BytesIO()
            torch.save(state, content)
            write_whole(checkpoint, content.getvalue())
            report(step + 1, network)
    return network.eval()


def batch(digits: Digits, drawings: Drawings, draw: torch.Generator) -> Drawings:
    """Half digits, half drawings, distorted alike."""
    of_each = DRAWN // (1 + len(handwriting.FORMS))
    chosen = torch.randint(len(digits), (BATCH // 2 - of_each * (1 + len(handwriting.FORMS)),), generator=draw)
    written = handwriting.any_hand(digits.images[chosen], digits.labels[chosen], draw, BEND)
    picked = torch.randint(len(drawings[0]), (BATCH // 2,), generator=draw)
    others = handwriting.pen_and_map(drawings[0][picked].float() / 255, draw, BEND)
    written_so = list(forms(of_each, draw).values())
    european = handwriting.pen_and_map(torch.cat(written_so), draw, BEND)
    kinds = torch.cat([torch.zeros(BATCH // 2, dtype=torch.int64), drawings[1][picked]])
    return torch.cat([written, european, others]), kinds


def forms(count: int, draw: torch.Generator) -> dict[str, Tensor]:
    """So many digits of each form as hands draw them, [count, 28, 28] each."""
    upright = handwriting.upright(count, draw, (WIDTHS[0], THICKEST), STRETCH)
    drawn = {str(digit): handwriting.drawn(digit, count, draw, WIDTHS, STRETCH) for digit in handwriting.FORMS}
    return {UPRIGHT: upright, **drawn}


@torch.inference_mode()
def report(step: int, network: OneDigit, val: Digits, drawings: Drawings) -> None:
    """Prints how validation digits, drawn ones of each form, and other drawings are told apart."""
    network.eval()
    european = forms(400, generator(0, "drawn for validation"))
    scores = {"digits": network(val.images).softmax(dim=1)[:, 0]}
    for digit, ink in european.items():
        scores[f"drawn {digit}"] = network((255 * ink).round().to(torch.uint8)).softmax(dim=1)[:, 0]
    for name, each in scores.items():
        shares = ", ".join(f"{least}: {float((each < least).float().mean()):.4f}" for least in LEASTS)
        console.print(f"step {step}: {name} below {shares}", highlight=False)
    others = network(drawings[0]).softmax(dim=1)[:, 0]
    for index, kind in enumerate(KINDS):
        each = others[drawings[1] == index]
        shares = ", ".join(f"{least}: {float((each >= least).float().mean()):.3f}" for least in LEASTS)
        console.print(f"step {step}: {'printed digits' if index == 0 else kind} at or above {shares}", highlight=False)
    network.train()


if __name__ == "__main__":
    start(main)
