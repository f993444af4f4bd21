"""Writes docs/api.md, the reference of what the package offers, from signatures and docstrings in its source.

    uv run docs/api.py

The source is read and not run, so that signatures stand here as they were written, with the shapes of arrays.
"""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "digitset"
EXPORTED = "digitset"  # names that `import digitset` gives at once

# What is on the page: a heading, and under it files with the names that are taken from each.
PAGE: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "Train": [("run", ("Run",)), ("training", ("train",)), ("record", ("RunFolder",)), ("parts", ("names",))],
    "Ask a trained model": [("predict", ("load", "Predictor"))],
    "Data": [("data", ("load", "Splits", "Digits"))],
    "Scores": [("evaluation", ("evaluate",))],
    "Explain an answer": [("explain", ("explain", "Explanation", "verdict")), ("explanation", ("draw",))],
    "Whether probabilities mean what they say": [
        ("calibration", ("reliability", "Bin", "expected_calibration_error", "brier", "coverage"))
    ],
    "Pictures of your own": [
        ("pictures", ("find", "read")),
        ("ink", ("digit", "steps", "Picture")),
        ("splitting", ("split",)),
    ],
    "Share a model": [
        ("publish", ("publish", "push")),
        ("export", ("export", "Difference")),
        ("onnx", ("OnnxPredictor",)),
    ],
    "The page for drawing": [("demo/__init__", ("serve",))],
    "Errors": [("errors", ("InputError", "TrainingError"))],
    "Contracts of a task and a model": [("tasks/__init__", ("Task",)), ("models/__init__", ("Model",))],
}
INTRODUCTION = """# Reference

Made by `uv run docs/api.py` from the source; do not edit it here. Letters in shapes: B sequences, L images in the
longest of them, N or n images, D numbers in the vector of an image, H heads, A answers, K numbers of a model; `_` is
any. `Images` is an array of numpy or a tensor, `Options` and `Values` are dicts by name. What is marked *digitset* is a
name of `import digitset` itself, under the name that is shown; everything else is imported from the module that is
named, such as `from digitset.inference.explain import explain`.
"""

SPECIAL = ("__init__", "__call__")
Definition = ast.FunctionDef | ast.ClassDef


def page() -> str:
    """The whole reference."""
    homes = exported()
    parts = [INTRODUCTION]
    for heading, files in PAGE.items():
        parts.append(f"## {heading}\n")
        for file, names in files:
            source = (PACKAGE / f"{file}.py").read_text()
            found = {node.name: node for node in ast.parse(source).body if isinstance(node, Definition)}
            module = file.removesuffix("/__init__").replace("/", ".")
            parts += [entry(found[name], source, module, homes.get((module, name))) for name in names]
    return "\n".join(parts)


def exported() -> dict[tuple[str, str], str]:
    """(module, name) of what `import digitset` gives -> the name it has there."""
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES":
            return {home: name for name, home in ast.literal_eval(node.value).items()}
    raise LookupError("digitset/__init__.py has no _HOMES")


def entry(node: Definition, source: str, module: str, name: str | None) -> str:
    """A function or a class with its heading."""
    place = f"*digitset*, `digitset.{module}`" if name else f"`digitset.{module}`"
    heading = f"### {name or node.name}\n\n{place}\n"
    if isinstance(node, ast.FunctionDef):
        return f"{heading}\n{function(node, name or node.name)}"
    return f"{heading}\n{class_(node, source)}"


def function(node: ast.FunctionDef, name: str) -> str:
    """Its signature, then its docstring."""
    said = ast.get_docstring(node)
    return f"```python\n{signature(node, name)}\n```\n" + (f"\n{prose(said)}\n" if said else "")


def signature(node: ast.FunctionDef, name: str) -> str:
    """As it would be called; broken into lines where it is long."""
    arguments = [argument for argument in _arguments(node.args) if argument not in ("self", "cls")]
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
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
    """Its docstring, how it is made, its fields, its methods."""
    parts = [f"{prose(ast.get_docstring(node) or '')}\n"]
    parts += fields(node, source)
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and (item.name in SPECIAL or not item.name.startswith("_")):
            marks = [ast.unparse(mark) for mark in item.decorator_list]
            if "property" in marks:
                parts.append(
                    f"- **{item.name}**: `{_result(item)}` {inline(ast.get_docstring(item) or '')}".rstrip() + "\n"
                )
            else:
                start = node.name if "classmethod" in marks or item.name in SPECIAL else ""
                parts.append(function(item, start if item.name in SPECIAL else f"{start}.{item.name}"))
    return "\n".join(parts)


def _result(item: ast.FunctionDef) -> str:
    return ast.unparse(item.returns) if item.returns else ""


def fields(node: ast.ClassDef, source: str) -> list[str]:
    """A list of the fields, each with the string below it or the comment beside it."""
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
