"""Shapes and types in signatures are checked in every test: the hook must be in place before digitset is imported."""

import os

from jaxtyping import install_import_hook

with install_import_hook("digitset", "beartype.beartype"):
    from digitset import parts

    for _folder in parts.FOLDERS:
        for _name in parts.names(_folder):
            parts.load(_folder, _name)

import pytest
import torch

from digitset import data
from digitset.data import Splits

# Two workers on two cores: more threads than one each would only wait for one another.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def mnist() -> Splits:
    """Real MNIST, read once."""
    return data.load()
