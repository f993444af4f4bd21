"""What stands around the code agrees with itself: pins, bounds, versions, and what runs before a commit."""

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = [*PYPROJECT["project"]["dependencies"], *chain(*PYPROJECT["project"]["optional-dependencies"].values())]
DIRECT = [*RUNTIME, *chain(*PYPROJECT["dependency-groups"].values())]
PINS = (ROOT / "constraints.txt").read_text().splitlines()
HOSTS = [name + end for name, end in (("pypi.", "org"), ("python", "hosted"), ("npmjs.", "org"), ("debian.", "org"))]


def name(requirement: str) -> str:
    """The package of a requirement, in the spelling of the pins."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]).lower()


def git(*arguments: str) -> str:
    """What git says of the project's files; skips the test where they are no clone."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert not result.stderr, result.stderr
    return result.stdout


def test_pip_and_uv_get_the_same_pins() -> None:
    assert PYPROJECT["tool"]["uv"]["constraint-dependencies"] == PINS


def test_a_pin_is_one_version() -> None:
    for pin in PINS:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", pin), pin


@pytest.mark.parametrize("requirement", sorted(set(DIRECT)))
def test_what_the_project_asks_for_is_pinned(requirement: str) -> None:
    assert name(requirement) in [name(pin) for pin in PINS]


@pytest.mark.parametrize("requirement", sorted(set(RUNTIME)))
def test_what_users_install_has_two_bounds(requirement: str) -> None:
    bounds = requirement.split(";")[0]
    assert ">=" in bounds
    assert "<" in bounds


def test_no_lock_is_in_git() -> None:
    assert not [path for path in git("ls-files").splitlines() if Path(path).name == "uv.lock"]


def test_no_file_names_a_registry() -> None:
    """Where packages come from is for the one who installs them to say."""
    found = git("grep", "-I", "-i", "-n", "-F", *(word for host in HOSTS for word in ("-e", host)))
    assert not found, found


def test_the_citation_is_of_this_version() -> None:
    versions = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert versions == [PYPROJECT["project"]["version"]]


def test_what_runs_before_a_commit_runs_in_ci() -> None:
    hooks = re.findall(r"^ +entry: (.+)$", (ROOT / ".pre-commit-config.yaml").read_text(), re.MULTILINE)
    assert hooks
    assert set(hooks) <= set((ROOT / ".ci/run").read_text().splitlines())


def test_types_are_offered_to_users() -> None:
    assert (ROOT / "digitset/py.typed").exists()


def test_no_licence_is_left_out() -> None:
    """A name that is no file is left out of the package without a word."""
    for path in PYPROJECT["project"]["license-files"]:
        assert (ROOT / path).is_file(), path
