"""How long and how each task and model is trained: the one place for settings that were chosen.

A recipe is a `Run`, or fields of one. All were chosen on validation images, with one exception that LOG.md names, and
LOG.md tells what was tried. Seconds are of training on 2 cores of an AMD EPYC (Zen 5) in bfloat16. What the recipes
reach on test images is in `results/`, made by `benchmarks/`.
"""

from dataclasses import replace
from typing import Any

from digitset.run import Run

Fields = dict[str, Any]

# What `compare` trains: minutes for all. Models of a task that see images get the same images, and all train with Muon,
# which teaches each of them more in as many steps than AdamW (LOG.md).
BRIEF: dict[str, Fields] = {
    "classify": {"steps": 600, "optimizer": "muon"},
    "sum": {"steps": 1_800, "sequences_per_step": 128, "curriculum": 0.7, "optimizer": "muon"},
    "contains": {"steps": 650, "learning_rate": 3e-3, "sequences_per_step": 512, "optimizer": "muon"},
}
# What differs for an encoder that needs other settings: as many images, in smaller steps.
BRIEF_ENCODER: dict[tuple[str, str], Fields] = {
    ("classify", "vit"): {"steps": 1_200, "images_per_step": 128, "sequences_per_step": 128},
}
# The length-only baseline learns a handful of numbers and looks at no image; it converges in a second.
LENGTH_ONLY: Fields = {
    "steps": 500,
    "learning_rate": 3e-2,
    "curriculum": 0.0,
    "augmentation_strength": 0.0,
    "optimizer": "adamw",
}

# Time to quality (benchmarks/quality.py): the shortest that is safely above what others reach after hours.
QUICK = {
    "sum/exact": Run("sum", "exact", steps=120, sequences_per_step=128, augmentation_strength=0.2),  # 3 s
    "contains/exact": Run("contains", "exact", steps=320, augmentation_strength=0.2),  # 8 s
    "contains/transformer": Run(
        "contains", "transformer", steps=300, learning_rate=3e-3, augmentation_strength=0.2
    ),  # 8 s
    "classify/mlp": Run("classify", "mlp", steps=500),  # 11 s
}


def _long(task: str, model: str, steps: int, **changes: Any) -> Run:
    """A run of 19 to 44 passes. So many want much variety, hence the strong augmentation and weight decay."""
    fields: Fields = {"encoder": "unpadded", "augmentation_strength": 1.0, "weight_decay": 0.3}
    fields |= {"sequences_per_step": 128, "curriculum": 0.5, "validate_every": 1_000}
    return Run(task, model, steps=steps, **(fields | changes))


_CONTAINS: Fields = {"sequences_per_step": 256, "learning_rate": 3e-3}
_CONVOLUTIONAL = {
    "sum/exact": _long("sum", "exact", 9_000),
    "sum/transformer": _long("sum", "transformer", 8_000, model_options={"readout": "mode"}),
    "contains/exact": _long("contains", "exact", 8_500, **_CONTAINS),
    "contains/transformer": _long("contains", "transformer", 8_000, **_CONTAINS, model_options={"hidden": 192}),
    "classify/mlp": _long("classify", "mlp", 9_500, sequences_per_step=256, augmentation_strength=1.5),
}
# Transformers all the way: places of an image to its vector, vectors to the answer.
_TRANSFORMERS = {
    f"{name}-vit": replace(_CONVOLUTIONAL[name], encoder="vit", optimizer="muon")
    for name in ("sum/transformer", "contains/transformer", "classify/mlp")
}
# The best that is known within ten minutes of one thread of an AMD EPYC (Zen 5) in bfloat16: benchmarks/accuracy.py.
BEST = _CONVOLUTIONAL | _TRANSFORMERS

# What comes with the package, trained with seed 0 (benchmarks/trained.py); the best of a task first.
PACKAGED = {
    **BEST,
    "sum/mlp": _long("sum", "mlp", 4_000, model_options={"hidden": 128}),
    "contains/mlp": _long("contains", "mlp", 4_000, sequences_per_step=256, model_options={"hidden": 128}),
}

# What else comes with the package, for people's own pictures; trained on from the best by benchmarks/any_hand.py.
FOR_PICTURES = {
    "classify/any_hand": replace(
        BEST["classify/mlp"], steps=1_200, learning_rate=6e-4, weight_decay=0.1, augmentation_strength=1.0
    ),
}


def brief(task: str, uses_images: bool, encoder: str | None = None) -> Fields:
    """The fields that `compare` sets for a model of a task and, if it is given, for an encoder.

    A model that uses no images gets `LENGTH_ONLY`.
    """
    fields = BRIEF.get(task, {"steps": Run.steps})
    if encoder is not None:
        fields = fields | BRIEF_ENCODER.get((task, encoder), {})
    return fields if uses_images else fields | LENGTH_ONLY
