"""README and the pages beside it say what is so: links, commands, options, numbers, the map, the service's JSON."""

import contextlib
import csv
import functools
import io
import re
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tyro
from test_structure import ORDER, PACKAGE, ROOT

import results
from digitset.cli import main, model_commands, training_commands

README = (ROOT / "README.md").read_text()
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
BY_HAND = [ROOT / "README.md", *(ROOT / f"docs/{name}.md" for name in ("benchmark", "distributed", "service", "using"))]
SHOWING = [page for page in PAGES if page.name != "CHANGELOG.md"]  # that one has the names of old options too
PER_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
SERVICE_TABLES = {"Ask a question": "Question", "The answer": "Answer", "The models": "Model"}


# What each check finds wrong, a line each


def too_long(text: str) -> list[str]:
    words = len(text.split())
    wrong = [f"{words} words"] * (words > 1_200)
    return wrong + [line for line in text.splitlines() if len(line) >= 120]


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(text: str, page: Path) -> list[str]:
    """Relative links that lead to no file, or to no heading of it."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        if "://" not in target and not (path.exists() and (not anchor or anchor in anchors(path.read_text()))):
            dead.append(target)
    return dead


def code(text: str) -> list[str]:
    """The lines of blocks of code, and what stands between backticks in prose."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`]+)`", prose)


@functools.cache
def options(command: str) -> set[str]:
    """The options that `digitset COMMAND --help` names."""
    return set(re.findall(r"--[a-z][a-z-]*", helped(command)))


@functools.cache
def helped(command: str) -> str:
    """What `digitset COMMAND --help` says."""
    function: Any = getattr(training_commands, command, None) or getattr(model_commands, command)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        tyro.cli(function, args=["--help"])
    return said.getvalue()


def wrong_commands(text: str) -> list[str]:
    """What is shown of the command and does not exist: subcommands, their options, options by themselves."""
    wrong = []
    everything = {"--version", "--tyro-print-completion"}.union(*(options(name) for name in main.COMMANDS))
    for line in code(text):
        shown = re.search(r"(?:^|uv run |demo |-m )digitset ((?:[a-z]+(?:, )?)+)(?: (.*))?$", line)
        for command in shown[1].split(", ") if shown else ():
            if command not in main.COMMANDS:
                wrong.append(f"digitset {command}")
            else:
                used = re.findall(r"(?<!\S)--[a-z][a-z-]*", shown[2] or "") if shown else []
                wrong += [f"digitset {command} {name}" for name in used if name not in options(command)]
        wrong += [name for name in re.findall(r"^--[a-z][a-z-]*", line) if name not in everything | OTHERS]
    return wrong


OTHERS = {"--master-addr", "--half", "--upgrade", "--check"}  # options of other programs that prose names


def missing_programs(text: str) -> list[str]:
    shown = re.findall(r"uv run (\S+\.py)", " ".join(text.split()))
    return [name for name in shown if not (ROOT / name).exists()]


def long_numbers(text: str) -> list[str]:
    """Numbers of prose and tables with three decimals or more, as results of measurements have them."""
    prose = re.sub(r"^```.*?^```|`[^`]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"(?<![\w.])\d+\.\d{3,}", prose)


def numbers_from_elsewhere(text: str, table: Path) -> list[str]:
    """Those of them that are not a number of the CSV file, rounded."""
    cells: list[float] = []
    with table.open(newline="") as file:
        for row in csv.reader(file):
            for cell in row:
                with contextlib.suppress(ValueError):
                    cells.append(float(cell))
    return [n for n in long_numbers(text) if not any(f"{cell:.{len(n.split('.')[1])}f}" == n for cell in cells)]


def old_words(text: str) -> list[str]:
    """Words that the project had before, and numbers that begin with a point."""
    words = r"\b(?:floors?|ceilings?|anew|posteriors?|readings?|standings)\b|--pool\b|--clip\b|(?<![\w.])\.\d{2,}"
    return re.findall(words, re.sub(r"docs/\S+", "", text), re.IGNORECASE)


def ranks(text: str) -> list[str]:
    return re.findall(r"(?<!node-)\brank(?:s|ed|ing|ings)?\b", text, re.IGNORECASE)


def mapped(text: str) -> list[str]:
    """The rooms and files of the map, in its order."""
    block = re.search(r"```\ndigitset/\n(.*?)```", text, re.DOTALL)
    return [line.split()[0] for line in block[1].splitlines()] if block else []


def wrong_map(names: list[str]) -> list[str]:
    """What is in the tree or in the map alone; and, where both are the same, what is not in the order of imports."""
    tree = {path.name + "/" * path.is_dir() for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    twice = [name for name in set(names) if names.count(name) > 1]
    rooms = [name.removesuffix("/").removesuffix(".py") for name in names]
    order = [room for room in rooms if room in ORDER]
    misplaced = [room for room, expected in zip(order, ORDER, strict=False) if room != expected]
    return sorted(tree ^ set(names)) + twice + misplaced


def wrong_fields(text: str, heading: str, fields: Iterable[str]) -> list[str]:
    """Fields of the service that the table under a heading does not name, and names that are no fields."""
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    return sorted({name for row in rows for name in re.findall(r"`(\w+)`", row)} ^ set(fields))


# The pages


def test_readme_is_short() -> None:
    assert too_long(README) == []


@PER_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page.read_text(), page) == []


@pytest.mark.parametrize("page", SHOWING, ids=lambda page: page.name)
def test_commands_and_options_exist(page: Path) -> None:
    assert wrong_commands(page.read_text()) == []


@PER_PAGE
def test_programs_exist(page: Path) -> None:
    assert missing_programs(page.read_text()) == []


def test_results_are_what_their_program_makes() -> None:
    assert (ROOT / "docs/results.md").read_text() == results.page()
    assert results.readme(README) == README


@pytest.mark.parametrize("page", [*BY_HAND, ROOT / "docs/results.md.jinja"], ids=lambda page: page.name)
def test_no_measured_number_is_typed_by_hand(page: Path) -> None:
    text = page.read_text()
    if page.name == "README.md":
        before, rest = text.split(results.BEGIN)
        text = before + rest.split(results.END)[1]
    assert long_numbers(text) == []


def test_numbers_of_readme_stand_in_one_table_of_committed_code() -> None:
    shown = README.split(results.BEGIN)[1].split(results.END)[0]
    if long_numbers(shown):
        assert numbers_from_elsewhere(shown, ROOT / "results/compare.csv") == []
        assert not re.search(r"commit \w+\+", shown), "made by code that was not committed"


@pytest.mark.parametrize("page", [*BY_HAND, ROOT / "docs/results.md"], ids=lambda page: page.name)
def test_words_are_the_new_ones(page: Path) -> None:
    assert old_words(page.read_text()) == []


RESULTS = [*PAGES, ROOT / "docs/results.md.jinja", *(ROOT / f"results/bench/report.{kind}" for kind in ("md", "html"))]


@pytest.mark.parametrize("page", RESULTS, ids=lambda page: page.name)
def test_no_page_gives_ranks(page: Path) -> None:
    """Tests over seeds give no order. `--node-rank` is an option of torchrun."""
    assert ranks(page.read_text()) == []


def test_no_help_gives_ranks() -> None:
    shown = {command: ranks(" ".join(helped(command).split())) for command in main.COMMANDS}
    assert [command for command, found in shown.items() if found] == []


def test_the_map_is_the_tree() -> None:
    assert wrong_map(mapped(README)) == []


@pytest.mark.parametrize("heading", SERVICE_TABLES)
def test_the_page_of_the_service_has_every_field(heading: str) -> None:
    from digitset.demo import schema

    fields = getattr(schema, SERVICE_TABLES[heading]).model_fields
    assert wrong_fields((ROOT / "docs/service.md").read_text(), heading, fields) == []


def test_the_example_of_use_runs() -> None:
    values: dict[str, Any] = {}
    exec(README.split("## Use it")[1].split("```python\n")[1].split("```")[0], values)
    assert values["model"].predict([values["test"].images[:1]], values["test"].images[:1]) > 0.99


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`urlopen` asks the service in this process."""
    from starlette.testclient import TestClient

    import digitset
    from digitset.demo.app import create_app

    client = TestClient(create_app({"sum/exact": digitset.load("sum/exact", "cpu")}), "http://127.0.0.1:8000")

    def ask(request: Any) -> io.BytesIO:
        if isinstance(request, str):
            return io.BytesIO(client.get(request).content)
        return io.BytesIO(client.post(request.full_url, content=request.data, headers=dict(request.headers)).content)

    monkeypatch.setattr(urllib.request, "urlopen", ask)
    with client:
        yield


@pytest.mark.usefixtures("service")
def test_the_example_of_the_service_says_what_stands_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/service.md").read_text()
    exec(page.split("```python\n")[1].split("```")[0], {})
    assert capsys.readouterr().out == page.split("```text\n")[1].split("```")[0]


# What the checks find in texts that are wrong


def test_the_checks_find_what_is_wrong(tmp_path: Path) -> None:
    assert too_long("word " * 1_201)[0] == "1201 words"
    assert too_long("a" * 120) == ["a" * 120]
    text = "[a](README.md#start) [b](README.md#no-such) [c](nothing.md) [d](#there)\n# There\n"
    assert dead_links(text, ROOT / "x.md") == ["README.md#no-such", "nothing.md", "#there"]
    assert dead_links(text, ROOT / "CHANGELOG.md") == ["README.md#no-such", "nothing.md", "#there"]
    block = "```\nuv run digitset train sum --pool 3\ndigitset fly --far\n```\n"
    assert wrong_commands(block) == ["digitset train --pool", "digitset fly"]
    assert wrong_commands("`--clip`, `digitset predict, sing`, `--seed`") == ["--clip", "digitset sing"]
    block = (
        "```\ntorchrun --nnodes 2 -m digitset train sum --average 1\nuv run --extra demo digitset demo --no-b\n```\n"
    )
    assert wrong_commands(block) == ["digitset train --average", "digitset demo --no-b"]
    assert missing_programs("`uv run\nbenchmarks/dance.py` `uv run benchmarks/step.py`") == ["benchmarks/dance.py"]
    assert long_numbers("It has 0.9876, as `0.1234` says, and 0.98.\n```\n0.5555\n```\n") == ["0.9876"]
    table = tmp_path / "table.csv"
    table.write_text("accuracy\n0.98764\n")
    assert numbers_from_elsewhere("0.9876 (0.9123)", table) == ["0.9123"]
    assert ranks("Rank 1, ranked; torchrun --node-rank 0, franking") == ["Rank", "ranked"]
    assert old_words("a floor of .994; readings at 0.99") == ["floor", ".994", "readings"]


def test_the_checks_of_map_and_fields_find_what_is_wrong() -> None:
    names = mapped(README)
    assert wrong_map([*names[1:], "new/"]) == sorted(["errors.py", "new/"]) + list(ORDER[1:])
    swapped = [*names[:4], names[5], names[4], *names[6:]]
    assert wrong_map(swapped) == ["data", "tasks"]
    assert wrong_map([*names, "cli/"]) == ["cli/"]
    text = "## The answer\n\n| field | meaning |\n| --- | --- |\n| `model`, `old` | what it is |\n\n## Next\n"
    assert wrong_fields(text, "The answer", ["model", "truth"]) == ["old", "truth"]


def test_results_are_of_one_command(tmp_path: Path) -> None:
    (tmp_path / "machines.toml").write_text('compare = "a machine"\n')
    headings = (ROOT / "results/accuracy.csv").read_text().splitlines()[0]
    made = [f"classify,mlp,cnn,0,0,test,9,0.98765,0.98,0.99,0.1,,,5,3,9,2.5,1,cpu,float32,2,{c},0.1,,0," for c in "ab"]
    table = tmp_path / "compare.csv"
    table.write_text("\n".join([headings, made[0], ""]))
    text = results.readme(README, tmp_path)
    assert "| classify | mlp | 0.9877 (0.9800 to 0.9900) | 0.1000 | 2 |" in text
    assert "a machine (cpu, 2 threads, float32), commit a, seed 0" in text
    assert text != README
    table.write_text("\n".join([headings, made[0], made[1].replace("mlp", "exact"), ""]))
    with pytest.raises(ValueError, match="one commit"):
        results.readme(README, tmp_path)
