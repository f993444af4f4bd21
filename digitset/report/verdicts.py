"""What a leaderboard says in words and tables. Without figures: who reads these need not wait for what draws."""

import math
from pathlib import Path

from digitset.bench import statistics
from digitset.bench.leaderboard import Leaderboard
from digitset.bench.statistics import FEWEST, LEVEL, Difference, Mean

SHOWN = "transformer"  # beside the best model, the one whose sheets are shown and that others are tested against
HEADINGS = (
    *("model", "accuracy", "group", "encoder", "seeds", "lowest to highest", "deviation over seeds"),
    *("error of the test set", "loss", "AUC or mean error", "single images", "random sequences", "parameters"),
    *("images", "seconds", "TFLOP", "learning rate"),
)
PAIR_HEADINGS = ("compared with", "difference in accuracy", "p (Holm)", "detectable", "verdict")


def verdict(board: Leaderboard) -> str:
    """One sentence that claims no more than the tests carry."""
    first = board.best
    accuracy = _interval(board.names[first].accuracy)
    text = f"Of the learned models, {first} has the highest mean accuracy, {accuracy}"
    others = len(board.learned) - 1
    if not others:
        return text + "; there is nothing to compare it with."
    pairs = board.against(first)
    better = [pair for pair in pairs if pair.holds and pair.mean > 0]
    tested = {pair.second: pair for pair in pairs if not math.isnan(pair.p)}
    if not tested:
        return text + f"; nothing could be tested: that takes {FEWEST} seeds or more, whose differences vary."
    if better:
        which = f"{len(better)} of the {others} others" if len(better) < others else "all others"
        text += f"; on these test images it is better than {which} (p < {LEVEL}, Holm)"
    if worse := [pair.second for pair in pairs if pair.holds and pair.mean < 0]:
        text += f"; on the seeds that both have it is worse than {', '.join(worse)}"
    tied = [f"{name} ({_detectable(pair)})" for name, pair in tested.items() if not pair.holds]
    untested = [name for name in board.learned if name not in (first, *tested)]
    text += f"; not separated from it (in brackets, the detectable difference): {', '.join(tied)}" if tied else ""
    return text + (f"; not tested: {', '.join(untested)}." if untested else ".")


def against_baseline(board: Leaderboard, baseline: str) -> list[str]:
    """A sentence on each learned row beside the baseline's rows: whether it is better, by how much, how sure.

    Rows of the baseline with another encoder are passed over, if there is one with the same.
    """
    rows = {name: board.names[name] for name in board.learned}
    of_baseline = {name for name, row in rows.items() if row.model == baseline}
    same = {row.encoder for name, row in rows.items() if name in of_baseline}
    sentences: list[str] = []
    for name, row in rows.items():
        for pair in board.against(name):
            alike = rows[pair.second].encoder == row.encoder or row.encoder not in same
            if name not in of_baseline and pair.second in of_baseline and alike:
                sentences.append(_beside(pair, len(board.tested)))
    return sentences


def _beside(pair: Difference, tests: int) -> str:
    first = f"{pair.first} beside {pair.second}: {pair.mean:+.4f}"
    if math.isnan(pair.p):
        return f"{first}; not tested: that takes {FEWEST} seeds or more, whose differences vary"
    found = f"{first} ± {pair.half:.4f} over {pair.n} seeds, p {_p(pair)}"
    if pair.holds:
        return f"{found}: {pair.first} is {'better' if pair.mean > 0 else 'worse'}"
    needed = statistics.seeds_to_decide(pair, tests)
    if needed is None:
        return f"{found}: not separated, and {statistics.MOST_TO_DECIDE} seeds would hardly show a difference so small"
    return f"{found}: not separated; if this is the true difference, about {needed} seeds in all would show it"


def table(board: Leaderboard) -> list[tuple[str, ...]]:
    """The cells of a task's table, the best first, under HEADINGS."""
    rows = []
    for name, row in board.names.items():
        accuracy, work = row.accuracy, row.mean("train_flops")
        cost = row.kind != "classifier + rule"
        rows.append(
            (
                row.model,
                _interval(accuracy),
                board.groups.get(name, ""),
                row.encoder if row.kind != "length-only" else "",
                str(accuracy.n),
                _range(list(row.accuracies.values())),
                "" if math.isnan(accuracy.deviation) else f"{accuracy.deviation:.4f}",
                f"{row.test_error:.4f}",
                _number(row.mean("loss"), ".4f"),
                _other(row.mean("auc"), row.mean("mae")),
                _number(row.mean("accuracy", "single"), ".4f"),
                _number(row.mean("accuracy", "random"), ".4f") if board.evaluation != "random" else "",
                _number(row.mean("parameters"), ",.0f") if cost else "",
                _number(row.mean("train_images"), ",.0f") if row.kind != "length-only" else "",
                _number(row.mean("train_seconds"), ",.0f") if cost else "",
                _number_of(work.mean / 1e12) if work and work.mean and cost else "",
                _number(row.mean("learning_rate"), "g") if cost else "",
            )
        )
    return rows


def compared(board: Leaderboard) -> list[str]:
    """The best row and the Transformer: those that all others are set against."""
    shown = [name for name, row in board.names.items() if row.model == SHOWN]
    return list(dict.fromkeys([board.best, *shown]))


def sheet_folders(board: Leaderboard, folder: Path) -> dict[str, Path]:
    """By row: the folder of the run whose predictions are shown, which may be gone: that of the row's first seed."""
    rows = {name: board.names[name] for name in compared(board)}
    runs = folder / "runs" / board.task
    return {name: runs / f"{row.model}-{row.encoder}" / f"seed{min(row.accuracies)}" for name, row in rows.items()}


def pair_table(board: Leaderboard, name: str) -> list[tuple[str, ...]]:
    """What holds between one row and each other, under PAIR_HEADINGS; empty where there is no test at all."""
    pairs = board.against(name)
    return [] if all(math.isnan(pair.p) for pair in pairs) else [_pair(name, pair) for pair in pairs]


def _pair(name: str, pair: Difference) -> tuple[str, ...]:
    if math.isnan(pair.p):
        return pair.second, f"{pair.mean:+.4f}", "", "", "not tested"
    verdict = f"{name} is {'better' if pair.mean > 0 else 'worse'}" if pair.holds else "not separated"
    return pair.second, f"{pair.mean:+.4f} ± {pair.half:.4f}", _p(pair), _detectable(pair), verdict


def _p(pair: Difference) -> str:
    return "< 1e-16" if pair.p < 1e-16 else f"{pair.p:.2g}"


def _detectable(pair: Difference) -> str:
    """A difference of accuracies is at most 1."""
    if math.isnan(pair.detectable):
        return "unknown"
    return "none" if pair.detectable > 1 else f"{pair.detectable:.4f}"


def _range(values: list[float]) -> str:
    return f"{min(values):.4f} to {max(values):.4f}" if len(values) > 1 else ""


def without_empty(
    headings: tuple[str, ...], rows: list[tuple[str, ...]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A table without the columns that say nothing."""
    kept = [index for index in range(len(headings)) if any(row[index] for row in rows)]
    return tuple(headings[index] for index in kept), [tuple(row[index] for index in kept) for row in rows]


def _interval(over: Mean) -> str:
    return f"{over.mean:.4f}" + ("" if math.isnan(over.half) else f" ± {over.half:.4f}")


def _number(over: Mean | None, form: str) -> str:
    return "" if over is None else f"{over.mean:{form}}"


def _number_of(value: float) -> str:
    """A number with three figures or more, never in powers of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _other(auc: Mean | None, mae: Mean | None) -> str:
    named = (("AUC", auc), ("MAE", mae))
    return ", ".join(f"{name} {over.mean:.4f}" for name, over in named if over)
