"""Writes docs/api.md, the reference of what the package offers, from signatures and docstrings in its source.

    uv run docs/api.py

The source is read and not run, so that signatures stand here as they were written, with the shapes of arrays.
"""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "digitset"
# What is on the page: a heading, and under it files with the names that are taken from each.
PAGE: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "Train": [
        ("run", ("Run",)),
        ("training/loop", ("train",)),
        ("training/tensorboard", ("EventFile",)),
        ("run_folder", ("RunFolder", "Summary")),
        ("network", ("Experiment", "Network")),
        ("registry", ("names",)),
    ],
    "Ask a trained model": [
        ("inference/predictor", ("load", "Predictor")),
        ("inference/pretrained/__init__", ("packaged_models", "PackagedModel")),
    ],
    "Data": [
        ("data/mnist", ("load_data", "Splits")),
        ("data/digits", ("Digits",)),
        ("data/sequences", ("Batch",)),
    ],
    "Scores": [
        ("evaluation/evaluate", ("evaluate", "evaluate_run_folder", "validation_set", "predict_sets", "Predictions")),
        ("run_folder", ("SetScores", "LengthScores")),
    ],
    "Explain an answer": [
        ("inference/explain", ("explain", "Explanation", "answer_in_words")),
        ("report/explanation_figure", ("explain", "Explained", "draw_explanation")),
    ],
    "Calibration": [
        ("evaluation/calibration", ("reliability", "Bin", "expected_calibration_error", "brier", "coverage"))
    ],
    "Pictures of your own": [
        ("pictures/read", ("find_pictures", "read_picture")),
        ("pictures/normalize", ("digit", "normalize", "Picture")),
        ("pictures/segment", ("find_digits", "split_picture", "Page", "PageDigit")),
        ("pictures/one_digit", ("look", "Looks")),
        ("pictures/number", ("read_numbers", "reader", "Numbers", "Number", "ReadDigit", "LeftOut")),
        ("report/page_figure", ("draw_pages",)),
    ],
    "Share a model": [
        ("inference/publish", ("publish", "push")),
        ("inference/onnx_export", ("export", "Difference")),
        ("inference/onnx_runtime", ("OnnxPredictor",)),
    ],
    "The page for drawing": [("demo/__init__", ("serve", "write_page"))],
    "Errors": [("errors", ("InputError", "TrainingError"))],
    "Contracts of a task, a model and an encoder": [
        ("tasks/__init__", ("Task",)),
        ("models/__init__", ("Model", "Attends", "SelfAttends", "ReadsDigits")),
        ("encoders/__init__", ("Encoder",)),
    ],
}
INTRODUCTION = """# Reference

Written by `uv run docs/api.py` from the source; do not edit it here.

Names marked *digitset* come from `import digitset` itself. All others are imported from the module that is named, for
example `from digitset.inference.explain import explain`.

An *anchor* is an image beside the sequence that a task asks about: does its digit occur in the sequence? The letters in
shapes:

| letter | what it counts |
| --- | --- |
| B | sequences |
| L | images in the longest of them |
| N, n | images |
| D | numbers in the vector of an image |
| H | attention heads |
| A | possible answers |
| K | numbers that a model answers with |
| `_` | anything |

`Images` is a numpy array or a tensor. `Options` and `Values` are dicts by name. `Scores` is a dict from the name of an
evaluation set to its `SetScores`.
"""

SPECIAL = ("__init__", "__call__")
Definition = ast.FunctionDef | ast.ClassDef


def page() -> str:
    """The whole reference."""
    offered = exported()
    parts = [INTRODUCTION]
    for heading, files in PAGE.items():
        parts.append(f"## {heading}\n")
        for file, names in files:
            source = (PACKAGE / f"{file}.py").read_text()
            found = {node.name: node for node in ast.parse(source).body if isinstance(node, Definition)}
            module = file.removesuffix("/__init__").replace("/", ".")
            parts += [entry(found[name], source, module, offered.get(name) == module) for name in names]
    return "\n".join(parts)


def exported() -> dict[str, str]:
    """The names that `import digitset` offers, each with its module."""
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES":
            return ast.literal_eval(node.value)
    raise LookupError("digitset/__init__.py has no _HOMES")


def entry(node: Definition, source: str, module: str, offered: bool) -> str:
    """A function or a class with its heading."""
    place = f"*digitset*, `digitset.{module}`" if offered else f"`digitset.{module}`"
    heading = f"### {node.name}\n\n{place}\n"
    if isinstance(node, ast.FunctionDef):
        return f"{heading}\n{function(node, node.name)}"
    return f"{heading}\n{class_(node, source)}"


def function(node: ast.FunctionDef, name: str) -> str:
    """Its signature, then its docstring."""
    said = ast.get_docstring(node)
    return f"```python\n{signature(node, name)}\n```\n" + (f"\n{prose(said)}\n" if said else "")


def signature(node: ast.FunctionDef, name: str) -> str:
    """As it would be called; broken into lines where it is long."""
    arguments = [argument for argument in _arguments(node.args) if argument not in ("self", "cls")]
    result = f" -> {_written(node.returns)}" if node.returns else ""
    line = f"{name}({', '.join(arguments)}){result}"
    if len(line) <= 100:
        return line
    return "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), f"){result}"])


def _arguments(arguments: ast.arguments) -> list[str]:
    """Positional arguments with annotations and defaults; no function of the page has others."""
    if arguments.kwonlyargs or arguments.vararg or arguments.kwarg:
        raise NotImplementedError("only positional arguments are written")
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + [*arguments.defaults]
    written = []
    for argument, default in zip(arguments.args, defaults, strict=True):
        annotation = "" if argument.annotation is None else f": {_written(argument.annotation)}"
        written.append(argument.arg + annotation + ("" if default is None else f" = {ast.unparse(default)}"))
    return written


def _written(annotation: ast.expr) -> str:
    """An annotation, without the quotation marks of a name that is imported later."""
    is_name = isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
    return str(annotation.value) if is_name else ast.unparse(annotation)  # pyright: ignore[reportAttributeAccessIssue]


def class_(node: ast.ClassDef, source: str) -> str:
    """Its bases, its docstring, its fields and class attributes, its methods."""
    bases = [ast.unparse(base) for base in node.bases if ast.unparse(base) != "ABC"]
    parts = [f"A subclass of `{'`, `'.join(bases)}`.\n"] if bases else []
    parts.append(f"{prose(ast.get_docstring(node) or '')}\n")
    parts += fields(node, source)
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
    for item in methods:
        if item.name in SPECIAL or not item.name.startswith("_"):
            parts.append(method(item, node.name))
    return "\n".join(parts)


def method(item: ast.FunctionDef, of_class: str) -> str:
    """A method or a property, and whether a subclass has to define it."""
    marks = [ast.unparse(mark) for mark in item.decorator_list]
    if "property" in marks:
        return f"- **{item.name}**: `{_result(item)}` {inline(ast.get_docstring(item) or '')}".rstrip() + "\n"
    start = of_class if "classmethod" in marks or item.name in SPECIAL else ""
    written = function(item, start if item.name in SPECIAL else f"{start}.{item.name}")
    return f"{written}\n*Abstract: a subclass defines it.*\n" if "abstractmethod" in marks else written


def _result(item: ast.FunctionDef) -> str:
    return _written(item.returns) if item.returns else ""


def fields(node: ast.ClassDef, source: str) -> list[str]:
    """A list of the fields and class attributes, each with the string below it or the comment beside it."""
    lines, written = source.splitlines(), []
    for item, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        comment = re.search(r"  # (?P<said>.*)$", lines[(item.end_lineno or 1) - 1])
        said = comment["said"] if comment else ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            said = str(after.value.value)
        default = f" = {ast.unparse(item.value)}" if item.value is not None else ""
        written.append(f"- **{item.target.id}**: `{_plain(item.annotation)}{default}` {inline(said)}".rstrip())
    return ["\n".join(written) + "\n"] if written else []


def _plain(annotation: ast.expr) -> str:
    """The type alone of what is annotated for the command line as well."""
    text = ast.unparse(annotation)
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Annotated":
        assert isinstance(annotation.slice, ast.Tuple)
        text = ast.unparse(annotation.slice.elts[0])
    return re.sub(r"tyro\.conf\.Positional\[(\w+)\]", r"\1", text)


def prose(docstring: str) -> str:
    """A docstring as Markdown: paragraphs of code stay code, and no shape becomes a link."""
    return re.sub(r"(?<!`)(\[[^\]\n`]+\])(?=\()", r"\\\1", docstring)


def inline(docstring: str) -> str:
    return " ".join(prose(docstring).split())


if __name__ == "__main__":
    (HERE / "api.md").write_text(page())
