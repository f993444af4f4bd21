"""The types of arguments that several subcommands share: what help shows for a value and says of it."""

from pathlib import Path
from typing import Annotated

import tyro

from digitset import registry

Flag = tyro.conf.FlagCreatePairsOff[bool]
Folder = Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
File = Annotated[Path, tyro.conf.arg(metavar="FILE")]

# One trained model, and whether its code is executed.
Trained = Annotated[
    str,
    tyro.conf.arg(metavar="RUN", help="The run's folder, a packaged model (`digitset models`), or hub:USER/NAME."),
]
Model = Annotated[
    str,
    tyro.conf.arg(metavar="MODEL", help="A packaged model (`digitset models`), a run's folder, or hub:USER/NAME."),
]
TRUST = "Execute the code that {}, if {} parts are files of somebody's own: read them first."
Trust = Annotated[Flag, tyro.conf.arg(help=TRUST.format("the folder has", "its"))]
TrustAll = Annotated[Flag, tyro.conf.arg(help=TRUST.format("the runs have", "their"))]

# Data of the user's own.
Transpose = Annotated[
    Flag,
    tyro.conf.arg(
        help="The files of --data hold rows as columns: set the images upright. EMNIST's own are, without this."
    ),
]

# What a run is made of, and where.
Tasks = Annotated[tuple[str, ...], tyro.conf.arg(metavar=" ".join([*registry.names("tasks"), "FILE.py"]))]
Models = Annotated[tuple[str, ...], tyro.conf.arg(metavar=" ".join([*registry.names("models"), "FILE.py"]))]
ENCODERS = " ".join([*registry.names("encoders"), "FILE.py"])
Encoders = Annotated[tuple[str, ...], tyro.conf.arg(metavar=ENCODERS)]
Device = Annotated[str, tyro.conf.arg(metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps ...")]
Precision = Annotated[str, tyro.conf.arg(metavar="{auto,float32,bfloat16}", help="auto, float32 or bfloat16.")]

# A person's own pictures.
Pictures = Annotated[
    tuple[str, ...],
    tyro.conf.arg(
        metavar="PICTURE ...",
        help="Files, folders or patterns, in the order of the sequence; files of a folder by name.",
    ),
]
Anchor = Annotated[str | None, tyro.conf.arg(metavar="PICTURE", help="The picture of the anchor, for a task with one.")]
Split = Annotated[Flag, tyro.conf.arg(help="A picture may hold several digits: in rows, in boxes, in a grid.")]
Json = Annotated[Flag, tyro.conf.arg(name="json", help="Write JSON for programs instead of a table.")]
