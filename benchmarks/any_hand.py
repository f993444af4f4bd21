"""Makes the packaged model `classify/any_hand`: `classify/mlp`, trained on with forms and pens that MNIST has few of.

    uv run benchmarks/any_hand.py [--out digitset/inference/pretrained/classify/any_hand]

`handwriting.py` says what those are; the settings are in `digitset/recipes.py`. Training begins with the weights of
`classify/mlp` and keeps what that knows of MNIST; a stopped one goes on from its checkpoint under `runs/any_hand`.
Printed on the way: the accuracy on validation images, and on drawn digits of each form. Test images are scored once,
at the end, with the weights of the last step.
"""

import time
from pathlib import Path

import handwriting
import torch
from jaxtyping import Int64, UInt8
from measure import start
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from digitset import recipes
from digitset.data.mnist import Digits, Splits, load_data
from digitset.data.sequences import Batch
from digitset.device import Machine, choose_device, choose_precision
from digitset.errors import InputError
from digitset.evaluation.evaluate import evaluate_run_folder
from digitset.inference import pretrained
from digitset.inference.publish import publish
from digitset.network import Network
from digitset.rng import generator
from digitset.run import Run
from digitset.run_folder import RunFolder, Summary
from digitset.tasks import load_task
from digitset.training.loop import descend
from digitset.training.optimizer import optimizers

NAME, BEGIN = "classify/any_hand", "classify/mlp"
RUNS = Path("runs/any_hand")
CARRIED_ON = 50  # steps between checkpoints
console = Console()


def main(out: Path = pretrained.FOLDER / NAME) -> None:
    """Trains, evaluates and publishes.

    Args:
        out: The folder of the model.
    """
    run, splits = recipes.FOR_PICTURES[NAME], load_data()
    run_folder = RunFolder(RUNS)
    if run_folder.exists and run_folder.run() != run:
        raise InputError(f"{RUNS}: expected a run of these settings, found another; remove the folder")
    if not run_folder.finished:
        train(run, run_folder, splits)
    evaluate_run_folder(run_folder, splits)
    images = "MNIST, distorted and with strokes added, and drawn ones, twos, fours, sevens and nines"
    publish(RUNS, out, NAME, half=True, command="uv run benchmarks/any_hand.py", images=images)


def train(run: Run, run_folder: RunFolder, splits: Splits) -> None:
    """Steps until the end, from the checkpoint where there is one."""
    device = choose_device("cpu")
    precision = choose_precision(run.precision, device)
    network, task = RunFolder(pretrained.FOLDER / BEGIN).network().train(), load_task(run.task)
    network.precision = precision
    (optimizer,) = optimizers(run, network, device)
    step, seconds = 0, 0.0
    if run_folder.has_checkpoint:
        saved = run_folder.load_checkpoint()
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        step, seconds = saved["step"], saved["seconds"]
    else:
        run_folder.start(run, Machine.here(device, 1), precision, task.version, splits.checksum)
    while step < run.steps:
        begin = time.perf_counter()
        training_step(run, network, optimizer, splits.train, step)
        step += 1
        seconds += time.perf_counter() - begin
        if step % CARRIED_ON == 0 or step == run.steps:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
            run_folder.save_checkpoint({"step": step, "seconds": seconds, **state})
        if step % (6 * CARRIED_ON) == 0 or step == run.steps:
            network.recompute_batch_norm(splits.train.images[:5_000])
            report(network, splits.val, step)
    images = run.steps * run.images_per_step
    summary = Summary(run.steps, images, seconds, images / max(seconds, 1e-9), network.parameter_count())
    run_folder.finish(network.state_dict(), summary)


def training_step(run: Run, network: Network, optimizer: torch.optim.Optimizer, train: Digits, step: int) -> None:
    """One step on images drawn anew; every draw is a function of (seed, step).

    Half of them are as MNIST's writers left them, under affine maps alone, so that their hand is not forgotten.
    """
    draw = generator(run.seed, "any hand", step)
    chosen = torch.randint(len(train), (run.images_per_step,), generator=draw)
    labels = train.labels[chosen]
    own, others = train.images[chosen].tensor_split(2)
    own = (255 * handwriting.mapped(own.float() / 255, draw, 0)).round().to(torch.uint8)
    images = torch.cat([own, handwriting.any_hand(others, labels[len(own) :], draw)])
    descend(run, network, [optimizer], F.cross_entropy(network(alone(images)), labels), step)


def alone(images: UInt8[Tensor, "N 28 28"]) -> Batch:
    """Each image as a sequence of its own."""
    index = torch.arange(len(images))[:, None]
    return Batch(
        images, torch.zeros(len(images), dtype=torch.int64), index, torch.ones_like(index, dtype=torch.bool), None
    )


def report(network: Network, val: Digits, step: int) -> None:
    """Prints the accuracy on validation images and on drawn digits, in float32 and evaluation mode."""
    network.eval()
    words = [f"MNIST {accuracy(network, val.images, val.labels):.4f}"]
    for digit in handwriting.FORMS:
        ink = handwriting.drawn(digit, 500, generator(0, "drawn for validation", digit))
        right = accuracy(network, (255 * ink).round().to(torch.uint8), torch.full((500,), digit))
        words.append(f"drawn {digit}: {right:.3f}")
    console.print(f"step {step}: {', '.join(words)}", highlight=False)
    network.train()


@torch.inference_mode()
def accuracy(network: Network, images: UInt8[Tensor, "N 28 28"], labels: Int64[Tensor, " N"]) -> float:
    batch = alone(images)
    output = torch.cat(list(network.apply_model_in_parts(network.embed_in_parts(images), batch)))
    return float((output.argmax(dim=1) == labels).float().mean())


if __name__ == "__main__":
    start(main)
