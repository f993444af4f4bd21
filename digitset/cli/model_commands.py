"""What the command can do with a trained model: one function for each subcommand, as in `training_commands`."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from digitset.cli.arguments import Anchor, Device, File, Flag, Folder, Json, Model, Pictures, Split, Trust, TrustAll
from digitset.errors import InputError
from digitset.files import as_text, expect_regular

if TYPE_CHECKING:
    from digitset.pictures.ask import Answer, Asked
    from digitset.pictures.number import Numbers
    from digitset.pictures.segment import Page

NUMBER = "number"  # in place of a model: the digits of each picture, as numbers in rows


def models(as_json: Json = False) -> None:
    """List the trained models that come with the package, with scores and sizes."""
    from digitset.cli.terminal import print_table
    from digitset.inference.pretrained import packaged_models

    packaged = packaged_models()
    if as_json:
        print(json.dumps(list(map(dataclasses.asdict, packaged)), indent=2))
        return
    rows = [
        (
            each.name,
            each.encoder,
            "" if each.accuracy is None else f"{each.accuracy:.4f}",
            f"{each.parameters:,}",
            f"{each.bytes / 1e6:.1f} MB",
        )
        for each in packaged
    ]
    print_table("models in the package", ("load", "encoder", "accuracy, test", "parameters", "size"), rows)


def verify(folder: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FOLDER")]) -> None:
    """Check every file of a run, of a published model or of the runs of a benchmark.

    Each is read as it would be used: its types, its checksum, weights that are finite.

    Args:
        folder: A folder of a run, or of several; a packaged model (`digitset models`), or hub:USER/NAME.
    """
    from digitset.cli.terminal import print_table
    from digitset.inference.predictor import locate
    from digitset.run_folder import TRAINED, RunFolder

    path = locate(folder)
    found = sorted({each.parent for each in path.rglob("*") if each.name in TRAINED})  # also where run.json is missing
    if not found:
        raise InputError(f"{folder}: expected the folder of a run or of several, found no file of one")
    checks = [(run_folder, check) for run_folder in found for check in RunFolder(run_folder).check_files()]
    rows = [
        (str(run_folder / check.name), check.words if check.whole is not False else "damaged")
        for run_folder, check in checks
    ]
    print_table(f"files of {folder}", ("file", "state"), rows)
    damaged = [check.words for _, check in checks if check.whole is False]
    if damaged:
        raise InputError(f"damaged files: {len(damaged)} of {len(checks)}: {'; '.join(dict.fromkeys(damaged))}")


def publish(
    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]],
    folder: tyro.conf.Positional[Folder],
    push: Annotated[str | None, tyro.conf.arg(metavar="USER/NAME")] = None,
    half: Flag = False,
    trust: Trust = False,
) -> None:
    """Write a run's weights, settings, scores and a card into a folder that anybody can load.

    Args:
        run: The folder of a finished and evaluated run.
        folder: The folder to write; `digitset.load` reads it.
        push: USER/NAME, to put the folder on the Hugging Face Hub as well. Needs digitset[hub].
        half: Round matrices and kernels to float16, for half the size, and score what that makes.
    """
    from digitset.cli.terminal import say
    from digitset.inference import hub
    from digitset.inference import publish as publishing
    from digitset.run_folder import RunFolder

    if push is not None:
        hub.check_repository_name(push)
    publishing.publish(run, folder, None if push is None else f"{hub.PREFIX}{push}", half, trust)
    files = RunFolder(folder).own_files()
    trusted = ", trust=True" if files else ""
    say(f'published: {folder}   digitset.load("{folder}"{trusted})')
    for file, sha256 in files.items():
        say(f"with your code: {file} (SHA-256 {sha256})")
    if push is not None:
        say(f"on the Hub: {publishing.push(folder, push)}")


def export(
    model: tyro.conf.Positional[Model], path: tyro.conf.Positional[File], attention: Flag = False, trust: Trust = False
) -> None:
    """Write a trained model as an ONNX file that was compared with torch. Needs digitset[onnx].

    Args:
        path: The file to write.
        attention: Its weights are an output too.
    """
    from digitset.cli.terminal import say
    from digitset.inference.onnx_export import export
    from digitset.inference.predictor import load

    difference = export(load(model, "cpu", trust), path, attention)
    lengths = ", ".join(map(str, difference.lengths))
    say(f"{path}: differs from torch by at most {difference.largest:.1g} on sequences of {lengths} test images")


def predict(
    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]],
    pictures: tyro.conf.Positional[Pictures],
    anchor: Anchor = None,
    split: Split = False,
    show: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    onnx: Flag = False,
    as_json: Json = False,
    device: Device = "auto",
    trust: Trust = False,
) -> None:
    """Read your own pictures of digits: digitset predict sum a.png b.jpg.

    Args:
        model: A packaged model (`digitset models`), a run's folder, or hub:USER/NAME; or `number`: the numbers on each
            picture, row by row.
        show: Draw into this file how each picture became a digit; of several digits, what is read where.
        onnx: MODEL is a file of `digitset export`, as it is if its name ends in .onnx. Needs digitset[onnx].
    """
    from digitset.pictures import ask

    if show is not None:
        check_figure("--show", show)
    if model == NUMBER:
        _predict_numbers(pictures, anchor, show, onnx, as_json, device)
        return
    onnx = onnx or model.endswith(".onnx")
    asked = _read(pictures, anchor, split, lambda: onnx or _of_digits(model), as_json)
    if onnx:
        from digitset.inference.onnx_runtime import OnnxPredictor

        if device not in ("auto", "cpu"):
            raise InputError(f"--device: an ONNX file is run on the CPU, got {device}; leave it out")
        answers = ask.by_onnx(OnnxPredictor(model), asked)
    else:
        from digitset.inference import predictor, pretrained

        answers = ask.by_torch(predictor.load(pretrained.for_pictures(model), device, trust), asked)
    if show is not None and split:
        _draw_pages(show, asked.pages, device)
    elif show is not None:
        _draw_steps(show, asked)
    _print_answers(answers, asked, as_json)
    _expect_all(asked.refused)


def _print_answers(answers: "list[Answer]", asked: "Asked", as_json: bool) -> None:
    from digitset.pictures import ask

    if as_json:
        told = {"answers": list(map(dataclasses.asdict, answers)), "notes": asked.notes, "refused": asked.refused}
        print(json.dumps(told, indent=2))
        return
    from digitset.cli.terminal import print_table, say

    for answer in answers:
        if len(answer.pictures) > 1:
            print_table(answer.question, ("picture", "alone", "adds", "one digit"), ask.table(answer))
        say(ask.sentence(answer))


def _predict_numbers(
    pictures: tuple[str, ...], anchor: str | None, show: Path | None, onnx: bool, as_json: bool, device: str
) -> None:
    """What `predict number` does."""
    from digitset.inference.predictor import load
    from digitset.pictures import number

    for option, given in (("--anchor", anchor is not None), ("--onnx", onnx)):
        if given:
            raise InputError(f"'{NUMBER}' is read by the packaged '{number.READER}': leave out {option}")
    try:
        found = number.read_pages(pictures, number.reader(load(number.READER, device)))
    except InputError as error:
        _tell_failure(error, "pictures", as_json)
        raise
    _tell(found.notes + found.refused)
    if show is not None:
        _draw_pages_read(show, list(zip(found.pages, found.numbers, strict=True)))
    if as_json:
        told = list(map(dataclasses.asdict, found.numbers))
        print(json.dumps({"pictures": told, "notes": found.notes, "refused": found.refused}, indent=2))
    else:
        from digitset.cli.terminal import print_table

        for numbers in found.numbers:
            print_table(numbers.name, ("row", "number", "certainty", "of each digit"), number.table(numbers))
    _expect_all(found.refused)


def _tell(notes: list[str]) -> None:
    for note in notes:
        print(f"digitset: {note}", file=sys.stderr)


def _of_digits(model: str) -> bool:
    """Whether a model was trained on MNIST, so that pictures are expected to show digits."""
    from digitset.data.mnist import PACKAGED_CHECKSUM
    from digitset.inference.predictor import locate
    from digitset.run_folder import RunFolder

    return RunFolder(locate(model)).data_checksum() == PACKAGED_CHECKSUM


def _read(
    pictures: tuple[str, ...],
    anchor: str | None,
    split: bool,
    of_digits: Callable[[], bool],
    as_json: bool = False,
) -> "Asked":
    """The digits on pictures; what happened to those that were not simply read is told before the answer to the others.

    Raises InputError if none was read, or no anchor; in JSON too, for a program that reads only what is printed.
    """
    from digitset.pictures import ask

    try:
        asked = ask.read_all(pictures, anchor, split, of_digits)
    except InputError as error:
        _tell_failure(error, "answers", as_json)
        raise
    _tell(asked.notes + asked.refused)
    return asked


def _tell_failure(error: InputError, nothing: str, as_json: bool) -> None:
    """Notes where no picture was read, and in JSON the reasons, for a program that reads only what is printed."""
    from digitset.pictures.read import NothingReadError

    refused, notes = (error.refused, error.notes) if isinstance(error, NothingReadError) else ([str(error)], [])
    _tell(notes)
    if as_json:
        print(json.dumps({nothing: [], "notes": notes, "refused": refused}, indent=2))


def _expect_all(refused: list[str]) -> None:
    """Raises InputError if a picture was refused: the answer, which is about the others, has been told."""
    if refused:
        count = len(refused)
        raise InputError(f"{count} picture{'s were' if count > 1 else ' was'} refused: the answer is about the others")


def explain(
    model: tyro.conf.Positional[Model],
    pictures: tyro.conf.Positional[Pictures],
    anchor: Anchor = None,
    split: Split = False,
    out: File = Path("explanation.png"),
    device: Device = "auto",
    trust: Trust = False,
) -> None:
    """Draw why a model answers as it does: what each picture adds, where attention looks, how sure it is.

    Args:
        out: The figure: PNG, SVG or PDF.
    """
    from digitset.cli.terminal import say
    from digitset.inference import pretrained
    from digitset.inference.explain import answer_in_words, explain
    from digitset.inference.predictor import load
    from digitset.pictures import ask
    from digitset.report.explanation_figure import draw_explanation

    check_figure("--out", out)
    predictor = load(pretrained.for_pictures(model), device, trust)
    asked = _read(pictures, anchor, split, lambda: _of_digits(model))
    task = predictor.task
    ask.expect_anchor_if_asked(task, asked)
    explanation = explain(predictor, asked.images, asked.anchor_image)
    draw_explanation(out, as_text(model), task, asked.images, asked.anchor_image, explanation)
    certainty = asked.certainty(explanation.certainty, range(len(asked.pictures)))
    words = answer_in_words(task, explanation.answer, certainty, explanation.interval)
    say(f"{task.question} {words}")
    say(f"figure: {out}")
    _expect_all(asked.refused)


def demo(
    models: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODEL ...")]] = (),
    host: Annotated[str, tyro.conf.arg(metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int | None, tyro.conf.arg(metavar="PORT")] = None,
    browser: bool = True,
    static: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None,
    runtime: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    trust: TrustAll = False,
) -> None:
    """Open a page where you draw digits and watch models read them, and a service. Needs digitset[demo].

    Args:
        models: Packaged models, folders of runs, or hub:USER/NAME; by default all packaged ones.
        host: Where to listen; by default callers on this machine alone are answered.
        port: The port; 0 is any that is free. By default 8000 or, if that is taken, the next one that is free.
        browser: Open the page.
        static: Write the page into a folder for any static host, without a service. Needs digitset[onnx] too.
        runtime: With --static, npm's package onnxruntime-web, by default where `npm pack` puts it.
    """
    from digitset.demo import serve, write_page
    from digitset.inference import pretrained
    from digitset.inference.predictor import load
    from digitset.models import Attends

    if static is None and runtime is not None:
        raise InputError("--runtime goes with --static")
    if static is not None and (port is not None or host != "127.0.0.1" or not browser):
        raise InputError("--static writes a folder: leave out --host, --port and --no-browser")
    loaded = {name: load(name, trust=trust) for name in models or pretrained.names_for_pictures()}
    # A model begins for its task if it comes first: from an anchor, attention is to be seen.
    last = [name for name, each in loaded.items() if each.task.anchored and not isinstance(each.network.model, Attends)]
    predictors = loaded if models else {name: loaded[name] for name in sorted(loaded, key=last.__contains__)}
    kinds = [f"{run.task}/{run.model}, {run.encoder}" for run in (each.run for each in predictors.values())]
    if len(set(kinds)) < len(kinds):
        raise InputError(f"expected one model of a task, a kind and an encoder, got {'; '.join(kinds)}")
    if static is not None:
        write_page(predictors, static, runtime)
    else:
        serve(predictors, host, port, browser)


def _draw_steps(path: Path, asked: "Asked") -> None:
    from digitset.report.figures import draw_steps

    title = "how pictures became digits"
    everything = asked.pictures + ([] if asked.anchor is None else [asked.anchor])
    names = asked.names + ["anchor"] * (asked.anchor is not None)
    draw_steps(path, title, everything, [as_text(name) for name in names])
    print(f"digitset: {title}: {path}", file=sys.stderr)


def _draw_pages(path: Path, pages: "dict[str, Page]", device: str) -> None:
    """What is read on pages that were split: by the packaged classifier, whatever was asked about their digits."""
    from digitset.inference.predictor import load
    from digitset.pictures import number

    read = number.reader(load(number.READER, device))
    _draw_pages_read(path, [(page, number.numbers_on(page, read, name)) for name, page in pages.items()])


def _draw_pages_read(path: Path, pages: "list[tuple[Page, Numbers]]") -> None:
    from digitset.pictures.number import READER
    from digitset.report.page_figure import draw_pages

    pages = [(page, dataclasses.replace(numbers, name=as_text(numbers.name))) for page, numbers in pages]
    draw_pages(path, f"what was found, as the packaged '{READER}' reads it", pages)
    print(f"digitset: what was found on each picture: {path}", file=sys.stderr)


def check_figure(option: str, path: Path) -> None:
    """Before any work is done for it."""
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"{option}: expected a name that ends in .png, .svg or .pdf, got {path}")
    if not path.parent.is_dir():
        raise InputError(f"{option}: expected a folder that exists, got {path.parent}")
    expect_regular(path, f"{option}, the name of a file")
