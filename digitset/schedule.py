"""What changes with the step of a run: the learning rate, and the lengths of the sequences."""

import math

from digitset.network import lengths_of
from digitset.run import Run


def learning_rate(run: Run, step: int) -> float:
    """The rate of a step: a linear warm-up from zero, then a cosine to zero at the run's end."""
    warm = max(1, round(run.warmup * run.steps))
    if step < warm:
        return run.learning_rate * (step + 1) / warm
    progress = (step - warm) / max(1, run.steps - warm)
    return run.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def lengths_at(run: Run, step: int) -> tuple[int, int]:
    """Shortest and longest sequence of a step: short ones first, whose labels say more of each image."""
    shortest, longest = lengths_of(run)
    if step >= run.curriculum * run.steps:
        return shortest, longest
    return shortest, shortest + round((longest - shortest) * (step / (run.curriculum * run.steps)) ** 2)
