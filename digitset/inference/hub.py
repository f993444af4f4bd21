"""Published models on the Hugging Face Hub. Needs digitset[hub]."""

import re
from pathlib import Path
from typing import Any

from digitset.errors import InputError
from digitset.run_folder import PUBLISHED

PREFIX = "hub:"
FILES = [*PUBLISHED, "*.py"]  # a model's own code comes along; loading executes it only if it is trusted


def fetch(name: str) -> Path:
    """The folder of "hub:USER/NAME" in the Hub's cache, downloaded if it is not there.

    Raises InputError for a repository that is missing, private, or no model of digitset.
    """
    hub, transport = _hub(), _transport()
    try:
        folder = Path(hub.snapshot_download(name.removeprefix(PREFIX), allow_patterns=FILES))
    except (hub.errors.HfHubHTTPError, hub.errors.HFValidationError, transport, OSError) as error:
        raise InputError(f"{name}: not to be had from the Hub: {_line(error)}") from None
    if not (folder / "model.json").is_file():
        raise InputError(f"{name}: expected a model that `digitset publish` wrote, found no model.json in it")
    return folder


def push(folder: Path, name: str) -> str:
    """Puts a published folder on the Hub as USER/NAME, with the token of `hf auth login`; its address."""
    hub, transport = _hub(), _transport()
    check_repository_name(name)
    try:
        address = hub.HfApi().create_repo(name, exist_ok=True)
        hub.HfApi().upload_folder(repo_id=name, folder_path=folder, allow_patterns=FILES)
    except (hub.errors.HfHubHTTPError, hub.errors.HFValidationError, transport, OSError) as error:
        raise InputError(f"{name}: not put on the Hub: {_line(error)}") from None
    return str(address)


def check_repository_name(name: str) -> None:
    """Raises InputError for what is not USER/NAME."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise InputError(f"--push: expected USER/NAME, got {name}")


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise InputError("the Hub needs its library: install digitset[hub]") from None
    return huggingface_hub


def _transport() -> type[Exception]:
    """What the library's client raises where there is no network."""
    import httpx2

    return httpx2.HTTPError


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
