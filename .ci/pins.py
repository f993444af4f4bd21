# /// script
# requires-python = ">=3.11"
# dependencies = ["uv==0.13.9"]  # another version may write the same markers in another way
# ///
"""Pins every package the project can install: in constraints.txt for pip, in pyproject.toml for `uv sync`.

    uv run .ci/pins.py                       pin what is new, drop what nothing needs, keep the rest
    uv run .ci/pins.py --upgrade NAME ...    take the newest NAME; what it needs may move with it
    uv run .ci/pins.py --upgrade             take the newest of everything
    uv run .ci/pins.py --check               write nothing; fail unless the pins are exactly what resolves

The list holds all extras, all groups and all platforms. With everything pinned, what resolves does not depend on what
was released since.
"""

import argparse
import difflib
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYPROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "constraints.txt"
LIST = re.compile(r"(?<=^constraint-dependencies = \[\n).*?(?=^\]$)", re.MULTILINE | re.DOTALL)
EXPORT = ["uv", "export", "--no-hashes", "--no-header", "--no-annotate"]
EXPORT += ["--no-emit-project", "--all-extras", "--all-groups"]


def listed(pyproject: str) -> list[str]:
    """The pins that stand in pyproject.toml."""
    return tomllib.loads(pyproject)["tool"]["uv"]["constraint-dependencies"]


def with_pins(pyproject: str, pins: list[str]) -> str:
    """pyproject.toml with these pins and no others."""
    lines = "".join(f'    "{pin}",\n' for pin in pins)
    text, count = LIST.subn(lines, pyproject)
    if count != 1:
        sys.exit("pyproject.toml must have one constraint-dependencies, a list with a line for each pin")
    return text


def resolved(folder: Path, pyproject: str, *options: str) -> list[str]:
    """What a project in this folder needs, with versions. A uv.lock that is there is preferred, then written anew."""
    (folder / "pyproject.toml").write_text(pyproject)
    result = subprocess.run([*EXPORT, "--project", str(folder), *options], capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{result.stderr}\nThe project cannot be resolved.")
    return result.stdout.splitlines()


def renewed(pyproject: str, names: list[str] | None) -> list[str]:
    """The pins of today: those that stand where they are still possible, others the newest.

    `names` are to be the newest whatever stands; an empty list is all of them, None is nothing.
    """
    python = tomllib.loads(pyproject)["project"]["requires-python"]
    options = [f"--upgrade-package={name}" for name in names or []]
    with tempfile.TemporaryDirectory() as folder:
        if names != []:  # a lock of the pins alone, so that they are preferred and yet can give way
            stub = f'[project]\nname = "pins"\nversion = "0"\nrequires-python = "{python}"\ndependencies = '
            resolved(Path(folder), stub + str(listed(pyproject)))
        return resolved(Path(folder), with_pins(pyproject, []), *options)


def differences() -> str:
    """What is not as it resolves now, without a lock; empty if all is well."""
    pyproject = PYPROJECT.read_text()
    with tempfile.TemporaryDirectory() as folder:
        wanted = resolved(Path(folder), pyproject)
    found = {"pyproject.toml": listed(pyproject), "constraints.txt": CONSTRAINTS.read_text().splitlines()}
    diffs = [difflib.unified_diff(pins, wanted, name, "resolved", n=0, lineterm="") for name, pins in found.items()]
    return "\n".join(line for diff in diffs for line in diff)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not arguments.check:
        pyproject = PYPROJECT.read_text()
        pins = renewed(pyproject, arguments.upgrade)
        PYPROJECT.write_text(with_pins(pyproject, pins))
        CONSTRAINTS.write_text("\n".join(pins) + "\n")
    if wrong := differences():
        sys.exit(f"{wrong}\nThe pins are not what the project resolves to: uv run .ci/pins.py")


if __name__ == "__main__":
    main()
