"""A finished run -> a folder that anybody can load, with a card that says what it is: `digitset.load` reads both."""

import math
import tempfile
from pathlib import Path
from typing import Any

from digitset import data, hub
from digitset.errors import InputError
from digitset.evaluation import version
from digitset.predict import Predictor, evaluated, load
from digitset.record import PUBLISHED, Record, halved

CARD = """---
license: mit
library_name: digitset
tags: [mnist, set-aggregation, {task}]
---

# {task}/{model}

{question} A `{model}` over images encoded by `{encoder}`, trained on {images} with digitset {version}.
{parameters:,} parameters; weights in {kinds}, no code and no pickle.

```python
import digitset

model = digitset.load("{folder}")
images = digitset.load_data().test.images  # uint8 [10000, 28, 28], ink 255 on 0
{usage}
```

## Scores

On the test images, read once, by `digitset evaluate`; the interval is Wilson's, for this one trained model.

| set | n | accuracy (95 %) | other |
| --- | --- | --- | --- |
{scores}

`published` are the windows of kobybibas/vit_for_mnist, `random` ten random partitions of the test images into
sequences, `single` sequences of one image, `digits` the digit that is read from each image.

## Training

```
{command}
```

{seconds:.0f} s on {machine[device_name]} ({machine[threads]} threads, {machine[precision]}), torch {machine[torch]},
commit {commit}; the weights of the last step.

## Limits

It has seen {images} alone: white ink on black, 28x28, one digit centred in each image. Other pictures have to be
brought into that form first (`digitset predict` does), and what is not a digit is read as one all the same.
"""
USAGE = {
    True: "model.predict([images[1:4]], images[:1])  # is the anchor's digit among three? the probability",
    False: "model.predict([images[:3]])  # one sequence of three images",
    None: "model.predict([images[:1]])  # one digit",
}


def publish(folder: str | Path, out: Path, name: str | None = None, half: bool = False) -> Predictor:
    """Writes the run of a folder, or a packaged model, into `out`, with its card; what was written, loaded again.

    `name` is what the card tells to load, the folder itself by default. With `half`, matrices and kernels are
    rounded to float16, for half the size; the model that is so made is scored anew, on the test images.

    Raises InputError for a run that is not finished or not evaluated, and if `out` holds anything else than an earlier
    version of this task and model.
    """
    predictor = load(folder)
    record = Record(predictor.folder or folder)
    scores = record.scores(version(predictor.task))
    if scores is None:
        raise InputError(
            f"{record.folder}: a published model says its scores; first: digitset evaluate {record.folder}"
        )
    if out.exists() and (out.is_file() or any(out.iterdir())):
        there = Record(out)
        only = out.is_dir() and {path.name for path in out.iterdir()} <= set(PUBLISHED)  # a run has more: its history
        same = there.exists and (there.run().task, there.run().model) == (predictor.run.task, predictor.run.model)
        if not (only and same) or record.folder.resolve() == out.resolve():
            raise InputError(f"{out}: expected no folder, or an earlier publication of this model; choose another")
    with tempfile.TemporaryDirectory() as place:
        if half:
            record, scores = _halved(record, predictor, Path(place))
        record.publish(out, _card(record, predictor, scores, name or out.resolve().name))
    return load(out)


def _halved(record: Record, predictor: Predictor, folder: Path) -> tuple[Record, dict[str, Any]]:
    """The record of the same run with rounded weights, and its scores."""
    record.publish(folder, "")
    made, summary = Record(folder), record.summary()
    made.finish(halved(record.weights()), {key: value for key, value in summary.items() if key != "sha256"})
    return made, evaluated(made, data.load(predictor.run.data))


def push(out: Path, name: str) -> str:
    """Puts what `publish` wrote on the Hugging Face Hub as USER/NAME; its address.

    Raises InputError if digitset[hub] is not installed, or the Hub refuses. Its login, `hf auth login`, comes first.
    """
    return hub.push(out, name)


def _card(record: Record, predictor: Predictor, scores: dict[str, Any], name: str) -> str:
    run, machine, task = predictor.run, record.machine(), predictor.task
    lines = []
    for evaluation, found in scores.items():
        low, high = found["interval"]
        more = {key: value for key, value in found["scores"].items() if key != "accuracy" and math.isfinite(value)}
        other = ", ".join(f"{key} {value:.4f}" for key, value in more.items())
        accuracy = f"{found['scores']['accuracy']:.4f} ({low:.4f} to {high:.4f})"
        lines.append(f"| {evaluation} | {found['n']:,} | {accuracy} | {other} |")
    return CARD.format(
        task=run.task,
        model=run.model,
        encoder=run.encoder,
        question=task.QUESTION,
        images="MNIST" if record.data_checksum() == data.load().checksum else "images of its own, which are not MNIST",
        version=machine["digitset"],
        parameters=record.summary()["parameters"],
        kinds=" and ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in record.weights().values()})),
        folder=name,
        usage=USAGE[None if task.LENGTHS == (1, 1) else task.ANCHORED],
        scores="\n".join(lines),
        command=run.shared().command(),
        seconds=record.summary()["train_seconds"],
        machine=machine,
        commit=machine["commit"] or "of an installed package",
    )
