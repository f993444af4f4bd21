"""Runs the tutorial and writes what it printed and drew into docs/: tutorial.md's text blocks, figures, tutorial.ipynb.

    uv run docs/tutorial.py                 after a change of the code or the trained models
    uv run docs/tutorial.py --notebook      the notebook alone, after a change of words

A block of ```python is run; what it prints is the block of ```text after it. A block of ```text (about) depends on the
machine, which tests do not compare. tests/test_docs.py runs the same blocks and compares what it may.
"""

import contextlib
import io
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HOSTED = """\
**In a hosted notebook**, where the package is not there yet: make its file in a clone (`uv build --wheel`, which writes
`dist/digitset-*.whl`), upload that into the folder of this notebook, and run the next cell. Elsewhere it does nothing.
"""
INSTALL = """\
try:
    import digitset
except ImportError:
    %pip install --quiet digitset-*.whl
"""
CODE = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text(?P<about> \(about\))?\n(?P<text>.*?)```\n)?", re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """Code, what it is said to print, and whether that depends on the machine."""

    code: str
    text: str
    about: bool


def snippets(tutorial: str) -> list[Snippet]:
    """The pieces of code of a Markdown text, in order."""
    found = CODE.finditer(tutorial)
    return [Snippet(part["code"], part["text"] or "", part["about"] is not None) for part in found]


def outputs(pieces: list[str]) -> Iterator[str]:
    """What each piece of code prints, run one after the other in one namespace, in the current folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, piece in enumerate(pieces, 1):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(piece, f"snippet {number} of the tutorial", "exec"), names)
        yield said.getvalue()


def told(tutorial: str, printed: list[str]) -> str:
    """The tutorial with what its code printed. Raises ValueError for code that prints and has no block of text."""
    left = iter(printed)

    def put(part: re.Match[str]) -> str:
        said = next(left)
        if part["text"] is None:
            if said:
                raise ValueError(f"prints, but no block of text follows:\n{part['code']}")
            return part[0]
        return f"```python\n{part['code']}```\n\n```text{part['about'] or ''}\n{said}```\n"

    return CODE.sub(put, tutorial)


def notebook(tutorial: str) -> str:
    """The tutorial as a notebook, nbformat 4.5: its prose, its code, and what is said to be printed.

    It begins with its title, and with what installs the package where a browser alone is at hand.
    """
    title, tutorial = tutorial.split("\n", 1)
    cells = [_prose(f"{title}\n\n{HOSTED}"), _code(INSTALL, None)]
    end = 0
    for part in CODE.finditer(tutorial):
        cells += [_prose(tutorial[end : part.start()]), _code(part["code"], part["text"])]
        end = part.end()
    cells.append(_prose(tutorial[end:]))
    cells = [cell | {"id": f"cell-{number}"} for number, cell in enumerate(cells) if cell["source"]]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _prose(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.strip().splitlines(keepends=True)}


def _code(code: str, text: str | None) -> dict[str, Any]:
    said = [{"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}] if text else []
    source = code.strip().splitlines(keepends=True)
    return {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": said, "source": source}


def main() -> None:
    tutorial = (HERE / "tutorial.md").read_text()
    if sys.argv[1:] != ["--notebook"]:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            tutorial = told(tutorial, list(outputs([snippet.code for snippet in snippets(tutorial)])))
            for figure in Path().glob("*.png"):
                shutil.copy(figure, HERE)
        (HERE / "tutorial.md").write_text(tutorial)
    (HERE / "tutorial.ipynb").write_text(notebook(tutorial))


if __name__ == "__main__":
    main()
