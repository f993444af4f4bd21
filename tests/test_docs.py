"""What docs/ says is so: the tutorial prints what stands in it, examples keep the contract, commands exist."""

import codeop
import csv
import json
import re
from pathlib import Path

import api
import contract
import pytest
import tutorial
from matplotlib.image import imread
from test_structure import ROOT, copied, python

from digitset.bench.leaderboard import leaderboards

DOCS = ROOT / "docs"
SHORTER = {"steps=120": "steps=3"}  # training in the test; what it gives stands in blocks marked (about)
FILE = re.compile(r"`(digitset/\S+\.py)`:\n\n```python\n(.*?)```", re.DOTALL)


def text(name: str) -> str:
    return (DOCS / name).read_text()


def test_the_tutorial_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pieces = tutorial.snippets(text("tutorial.md"))
    code = [piece.code for piece in pieces]
    for words, fewer in SHORTER.items():
        assert any(words in piece for piece in code)
        code = [piece.replace(words, fewer) for piece in code]
    for piece, said in zip(pieces, tutorial.outputs(code), strict=True):
        if piece.about:
            assert said
            assert piece.text
        else:
            assert said == piece.text, piece.code
    figures = re.findall(r"!\[.*?\]\((.*?)\)", text("tutorial.md"))
    assert sorted(figures) == sorted(path.name for path in tmp_path.glob("*.png"))
    for name in figures:
        assert imread(name).shape == imread(DOCS / name).shape


def test_pieces_of_the_tutorial_can_be_pasted_into_python() -> None:
    """Line by line, as a terminal gives them to Python, and Enter: a block ends at an empty line."""
    for piece in tutorial.snippets(text("tutorial.md")):
        compiler, lines = codeop.CommandCompiler(), list[str]()
        for line in piece.code.split("\n"):
            lines.append(line)
            if compiler("\n".join(lines), "pasted", "single") is not None:
                lines = []
        assert lines == [], piece.code


def test_the_notebook_is_the_tutorial() -> None:
    assert text("tutorial.ipynb") == tutorial.notebook(text("tutorial.md"))
    cells = json.loads(text("tutorial.ipynb"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code[0] == tutorial.INSTALL.strip()
    assert code[1:] == [piece.code.strip() for piece in tutorial.snippets(text("tutorial.md"))]
    assert text("tutorial.md").count("```python") == len(code[1:])
    assert not any("```" in "".join(cell["source"]) for cell in cells)
    assert len({cell["id"] for cell in cells}) == len(cells)


def test_what_is_printed_goes_below_its_code() -> None:
    page = "a\n\n```python\nprint(1)\n```\n\n```text (about)\nold\n```\n\n```python\nx = 2\n```\nb\n"
    printed = list(tutorial.outputs([piece.code for piece in tutorial.snippets(page)]))
    assert printed == ["1\n", ""]
    assert tutorial.told(page, printed) == page.replace("old", "1")
    with pytest.raises(ValueError, match="no block"):
        tutorial.told(page, ["1\n", "2\n"])


def test_the_reference_is_made_from_the_source() -> None:
    assert text("api.md") == api.page()


def test_the_reference_has_all_that_the_package_offers() -> None:
    import digitset

    offered = re.findall(r"### (\w+)\n\n\*digitset\*", text("api.md"))
    assert sorted(offered) == sorted(digitset.__all__)


def test_examples_keep_the_contract(tmp_path: Path) -> None:
    """As the page says: one file each, and a line in the tests of tasks."""
    root, page = copied(tmp_path), text("extending.md")
    files = dict(FILE.findall(page))
    assert {Path(name).parent.name for name in files} == {"encoders", "tasks"}
    for name, content in files.items():
        (root / name).write_text(content)
    line = re.search(r'```python\n( +"parity": .*?\n)```', page)
    tests = root / "tests/test_tasks.py"
    assert line
    tests.write_text(tests.read_text().replace('    "bags":', line[1] + '    "bags":', 1))
    wanted = "classify-perceptron-mlp or parity-lenet-exact or (parity and not lenet)"
    networks, laws_of_a_task = 2, 6
    run = ["-m", "pytest", "tests/test_tasks.py", "tests/test_contract.py", "-n", "0", "-p", "no:cacheprovider"]
    said = python(root, *run, "-k", wanted)
    passed = re.search(r"(\d+) passed", said)
    assert passed, said
    promises = len(contract.CHECKS) + 1  # and that weights survive the disk
    assert int(passed[1]) == networks * promises + laws_of_a_task, said


def test_commands_have_options_that_exist() -> None:
    """Each option that a page shows: of `digitset` by its help, of a benchmark (slow to start) by its source."""
    shown: dict[str, set[str]] = {}
    for name in ("extending.md", "numbers.md", "tutorial.md"):
        for program, rest in re.findall(r"(?:uv run |`)(benchmarks/\w+\.py|digitset \w+)([^`\n]*)", text(name)):
            shown.setdefault(program, set()).update(re.findall(r"--([\w-]+)", rest))
    assert {"digitset train", "digitset bench", "benchmarks/step.py"} <= shown.keys()
    for program, options in shown.items():
        if not options:
            continue
        if program.startswith("digitset"):
            known = re.findall(r"--([\w-]+)", python(ROOT, "-m", *program.split(), "--help"))
        else:
            known = [name.replace("_", "-") for name in re.findall(r"\b(\w+): ", (ROOT / program).read_text())]
        assert options <= set(known), program


def test_every_table_has_its_command() -> None:
    page = text("numbers.md")
    for path in sorted((ROOT / "results").rglob("*.csv")):
        assert f"`{path.relative_to(ROOT / 'results')}`" in page or f"`{path.name}`" in page, path
    for command in re.findall(r"uv run (benchmarks/\w+\.py|digitset \w+)", page):
        program = command.removeprefix("digitset ")
        assert (ROOT / program).exists() or program in python(ROOT, "-m", "digitset", "--help"), command
    with (ROOT / "results/accuracy.csv").open(newline="") as file:
        for column in next(csv.reader(file)):
            assert f"`{column}`" in page, column


def test_what_an_install_costs_is_what_was_measured() -> None:
    with (ROOT / "results/install.csv").open(newline="") as file:
        rows = {(row["case"], row["measure"]): float(row["value"]) for row in csv.DictReader(file)}
    readme, page = (" ".join(words.split()) for words in ((ROOT / "README.md").read_text(), text("using.md")))
    pypi, cpu = (f"{rows[build, 'environment: MB'] / 1000:.1f} GB" for build in ("pypi", "cpu"))
    assert f"takes {pypi} on Linux, [{cpu} without CUDA]" in readme
    assert f"has {pypi}; with a build of torch for the CPU alone it has {cpu}" in page
    assert f"the install took {rows['pypi', 'install: s']:.0f} s and {rows['cpu', 'install: s']:.0f} s" in page
    assert f"a file of {rows['cpu', 'wheel: MB']:.0f} MB" in page


def test_sizes_of_sets_are_those_of_the_tables() -> None:
    page = text("numbers.md")
    with (ROOT / "results/accuracy.csv").open(newline="") as file:
        found = {(row["evaluation"], f"{int(row['n']):,}") for row in csv.DictReader(file)}
    for name, count in found:
        (line,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert count in line.split("|")[-2], name


def test_what_the_results_say_of_the_transformer_is_what_the_tests_say() -> None:
    """docs/results.md: its words on which models are separated from it."""
    boards = {board.task: board for board in leaderboards(ROOT / "results/bench")}

    def separated(task: str) -> set[str]:
        groups = boards[task].groups
        return {name for name in groups if not set(groups[name]) & set(groups["transformer"])}

    simpler = {"set_transformer", "deepsets", "attention_pool", "gru", "mlp"}
    assert separated("sum") >= simpler
    assert separated("contains") & simpler == {"gru", "mlp"}
