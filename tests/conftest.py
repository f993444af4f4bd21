"""Shapes and types in signatures are checked in every test: the hook must be in place before digitset is imported."""

import os

from jaxtyping import install_import_hook

with install_import_hook("digitset", "beartype.beartype"):
    from digitset import registry
    from digitset.encoders import load_encoder
    from digitset.models import load_model
    from digitset.tasks import load_task

    for _load, _folder in ((load_task, "tasks"), (load_encoder, "encoders"), (load_model, "models")):
        for _name in registry.names(_folder):
            _load(_name)

import pytest
import torch

from digitset.data.mnist import Splits, load_data

# Two workers on two cores: more threads than one each would only wait for one another.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def mnist() -> Splits:
    """Real MNIST, read once."""
    return load_data()
