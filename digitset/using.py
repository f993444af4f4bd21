"""What the command can do with a trained model: one function a subcommand, as in `digitset.commands`."""

from pathlib import Path

import tyro


def models() -> None:
    """List the trained models that come with the package, with scores and sizes."""
    from digitset import parts, trained
    from digitset.evaluation import version
    from digitset.record import Record
    from digitset.terminal import print_table

    rows = []
    for name in trained.names():
        record = Record(trained.FOLDER / name)
        run, summary = record.run(), record.summary()
        scores = record.scores(version(parts.load("tasks", run.task))) or {}
        first = next(iter(scores.values()), None)
        accuracy = f"{first['scores']['accuracy']:.4f}" if first else ""
        size = (record.folder / "model.safetensors").stat().st_size
        rows.append((name, run.encoder, accuracy, f"{summary['parameters']:,}", f"{size / 1e6:.1f} MB"))
    print_table("models in the package", ("load", "encoder", "accuracy, test", "parameters", "size"), rows)


def publish(run: tyro.conf.Positional[str], folder: tyro.conf.Positional[Path], push: str | None = None) -> None:
    """Write a run's weights, settings, scores and a card into a folder that anybody can load.

    Args:
        run: The folder of a finished and evaluated run.
        folder: The folder to write; `digitset.load` reads it.
        push: USER/NAME, to put the folder on the Hugging Face Hub as well. Needs digitset[hub].
    """
    from digitset import publish as publishing
    from digitset.terminal import console

    publishing.publish(run, folder)
    console.print(f'published: {folder}   digitset.load("{folder}")', soft_wrap=True, highlight=False)
    if push is not None:
        console.print(f"on the Hub: {publishing.push(folder, push)}", soft_wrap=True)
