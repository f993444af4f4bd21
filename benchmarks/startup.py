"""Starting up, in processes of their own: help, the import, and a first prediction.

    uv run benchmarks/startup.py RUN [--out results/startup.csv]

RUN is the folder of a finished run. Times are medians of several processes, their start included, files in memory.
"""

import subprocess
import sys
from pathlib import Path

import tyro
from measure import expect_committed, median, show, start

from digitset.run_folder import RunFolder

FIRST_PREDICTION = """
import numpy, digitset
model = digitset.load({run!r})
images = numpy.zeros((1, 28, 28), numpy.uint8)
print(model.predict([images], images[:1] if model.task.anchored else None))
"""


def main(run: tyro.conf.Positional[Path], out: Path = Path("results/startup.csv"), repeats: int = 9) -> None:
    expect_committed(out)
    RunFolder(run).summary()  # a clear error if it is no finished run
    command = Path(sys.executable).with_name("digitset")
    first = FIRST_PREDICTION.format(run=str(run))
    cases = {
        "digitset --help: s": [str(command), "--help"],
        "digitset train --help: s": [str(command), "train", "--help"],
        "python -c pass: s": [sys.executable, "-c", "pass"],
        "import digitset: s": [sys.executable, "-c", "import digitset"],
        "first prediction: s": [sys.executable, "-c", first],
    }

    def launch(arguments: list[str]) -> None:
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)

    rows = [(name, median(lambda arguments=arguments: launch(arguments), repeats)) for name, arguments in cases.items()]
    show("start-up", rows, out)


if __name__ == "__main__":
    start(main)
