"""A finished run -> a folder that anybody can load, with a card that says what it is: `digitset.load` reads both."""

import json
import math
import os
import tempfile
from pathlib import Path

from digitset import registry
from digitset.data.mnist import load_data
from digitset.errors import InputError
from digitset.evaluation.evaluate import evaluate_run_folder, version
from digitset.files import LOCK, as_text, left_over, locked, remove_left_over
from digitset.inference import hub
from digitset.inference.predictor import Predictor, load
from digitset.run import Run
from digitset.run_folder import PUBLISHED, RunFolder, Scores, halved
from digitset.tasks import Task

MNIST_ON_HUB = "ylecun/mnist"
CARD = """---
license: mit
library_name: digitset
{metadata}
---

# {title}

{question} The model `{model}` over images encoded by `{encoder}`, trained on {images} with digitset {version}.
{parameters:,} parameters; weights in {dtypes}, {code}no pickle.

```python
import digitset

model = digitset.load("{folder}"{trust})
images = digitset.load_data().test.images  # uint8 [10000, 28, 28], ink 255 on 0
{usage}
```

## Scores

On the test images, by `digitset evaluate`; the interval is Wilson's, for this one trained model.

| set | n | accuracy (95 %) | other |
| --- | --- | --- | --- |
{scores}

`published` are the windows of kobybibas/vit_for_mnist, `random` ten random partitions of the test images into
sequences, `single` sequences of one image, `digits` the digit that is predicted from each image.

## Training

```
{command}
```

{seconds:.0f} s on {machine.device_name} ({machine.threads} threads, {precision}), torch {machine.torch},
commit {commit}; the weights of the last step.

## Limits

{needs}It has seen {images} alone: white ink on black, 28x28, one digit centred in each image. Other pictures have to be
brought into that form first (`digitset predict` does). It answers with a digit even where there is none.
"""


def publish(
    folder: str | Path,
    out: Path,
    name: str | None = None,
    half: bool = False,
    trust: bool = False,
    command: str | None = None,
    images: str | None = None,
) -> Predictor:
    """Writes the run of a folder, or a packaged model, into `out`, with its card; what was written, loaded again.

    `name` is what the card tells to load, the folder itself by default. With `half`, matrices and kernels are
    rounded to float16, for half the size; the model that is so made is scored again, on the test images. Files of your
    own that define its parts come along, and the card names them; `trust` is as for `load`. `command` is what trained
    it, if that was not `digitset train`, and `images` what it saw then.

    Raises InputError for a run that is not finished or not evaluated, and if `out` holds anything else than an earlier
    version of this task, model and encoder.
    """
    predictor = load(folder, trust=trust)
    run_folder = RunFolder(predictor.path or folder)
    scores = run_folder.scores(version(predictor.task))
    if scores is None:
        path = run_folder.path
        raise InputError(f"{path}: a published model says its scores; first: digitset evaluate {path}")
    _expect_place(out, run_folder, predictor)
    with tempfile.TemporaryDirectory() as temporary:
        if half:
            run_folder, scores = _halved(run_folder, predictor, Path(temporary))
        card = _card(
            run_folder, predictor, scores, name or as_text(os.path.realpath(out)).rpartition(os.sep)[2], command, images
        )
        out.mkdir(parents=True, exist_ok=True)
        with locked(out):
            _expect_place(out, run_folder, predictor)  # another process may have published there since
            remove_left_over(out, PUBLISHED)
            run_folder.publish(out, card)
    return load(out)


def _expect_place(out: Path, run_folder: RunFolder, predictor: Predictor) -> None:
    """Raises InputError if `out` holds anything else than an earlier publication of this model, whole or killed."""
    if not out.exists():
        return
    if out.is_dir():
        names = {path.name for path in out.iterdir()}
        names = {name for name in names if name != LOCK and left_over(name) not in PUBLISHED}
        if not names:
            return
        earlier = RunFolder(out)
        same = earlier.exists and _title(earlier.run()) == _title(predictor.run)
        files = {*PUBLISHED, *run_folder.own_files(), *(earlier.own_files() if earlier.exists else ())}
        if same and names <= files and run_folder.path.resolve() != out.resolve():  # a run has its history too
            return
    raise InputError(f"{out}: expected no folder, or an earlier publication of this model; choose another")


def _halved(run_folder: RunFolder, predictor: Predictor, path: Path) -> tuple[RunFolder, Scores]:
    """The same run with rounded weights, in another folder, and its scores."""
    run_folder.publish(path, "")
    rounded = RunFolder(path)
    rounded.finish(halved(run_folder.weights()), run_folder.summary())
    return rounded, evaluate_run_folder(rounded, load_data(predictor.run.data, predictor.run.transpose))


def push(out: Path, name: str) -> str:
    """Puts what `publish` wrote on the Hugging Face Hub as USER/NAME; its address.

    Raises InputError if digitset[hub] is not installed, or the Hub refuses. Its login, `hf auth login`, comes first.
    """
    return hub.push(out, name)


def _card(
    run_folder: RunFolder,
    predictor: Predictor,
    scores: Scores,
    name: str,
    command: str | None,
    images: str | None,
) -> str:
    run, machine, task, summary = predictor.run, run_folder.machine(), predictor.task, run_folder.summary()
    lines: list[str] = []
    for evaluation, of_set in scores.items():
        low, high = of_set.interval
        more = {key: value for key, value in of_set.scores.items() if key != "accuracy" and math.isfinite(value)}
        other = ", ".join(f"{key} {value:.4f}" for key, value in more.items())
        lines.append(f"| {evaluation} | {of_set.n:,} | {of_set.accuracy:.4f} ({low:.4f} to {high:.4f}) | {other} |")
    files = run_folder.own_files()
    code = ", ".join(f"`{file}` (SHA-256 {sha256})" for file, sha256 in files.items())
    packaged = run_folder.data_checksum() == load_data().checksum
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in run_folder.weights().values()})
    title = name if command else _title(run)
    return CARD.format(
        metadata=_metadata(title, run, task, scores, packaged),
        title=title,
        model=registry.file_name(run.model),
        encoder=registry.file_name(run.encoder),
        question=task.question,
        images=images or ("MNIST" if packaged else "images of its own, which are not MNIST"),
        version=machine.digitset,
        parameters=summary.parameters,
        dtypes=" and ".join(dtypes),
        folder=name,
        code="" if files else "no code and ",
        trust=", trust=True" if files else "",
        needs=f"It is code of its author in {code}, which `trust=True` executes: read it first.\n\n" if files else "",
        usage=_usage(task),
        scores="\n".join(lines),
        command=command or run.shareable().command(),
        seconds=summary.train_seconds,
        machine=machine,
        precision=run_folder.precision(),
        commit=machine.commit or "of an installed package",
    )


def _metadata(title: str, run: Run, task: Task, scores: Scores, packaged: bool) -> str:
    """What the Hub reads of a card, in YAML, of which JSON is a part: a result for each evaluation set.

    Scores have four digits, as on the card: YAML takes 1e-05 for a text.
    """
    pipeline = "image-classification" if task.single_image else "other"  # the Hub has no name for what takes a sequence
    dataset = {"name": "MNIST", "type": MNIST_ON_HUB} if packaged else {"name": "images of its own", "type": "other"}
    results = [
        {
            "task": {"type": pipeline, "name": task.question},
            "dataset": dataset | {"config": evaluation, "split": "test"},
            "metrics": [
                {"type": metric, "name": metric, "value": round(value, 4)}
                for metric, value in of_set.scores.items()
                if math.isfinite(value)
            ],
        }
        for evaluation, of_set in scores.items()
    ]
    tags = ["mnist"] * packaged + ["set-aggregation", registry.file_name(run.task).removesuffix(registry.SUFFIX)]
    lines = [f"pipeline_tag: {pipeline}", f"tags: {json.dumps(tags)}"]
    lines += [f"datasets: {json.dumps([MNIST_ON_HUB])}"] * packaged
    lines += ["model-index:", f"- name: {json.dumps(title)}", "  results:"]
    return "\n".join(lines + [f"  - {json.dumps(result)}" for result in results])


def _title(run: Run) -> str:
    """TASK/MODEL-ENCODER, whatever the version of a file of one's own is."""
    names = (registry.file_name(name).removesuffix(registry.SUFFIX) for name in (run.task, run.model, run.encoder))
    return "{}/{}-{}".format(*names)


def _usage(task: Task) -> str:
    if task.single_image:
        return "model.predict([images[:1]])  # one digit"
    if task.anchored:
        return "model.predict([images[1:4]], images[:1])  # the probability that the anchor's digit is among three"
    return "model.predict([images[:3]])  # one sequence of three images"
