"""Published models on the Hugging Face Hub. Needs digitset[hub]."""

from pathlib import Path
from typing import Any

from digitset.errors import InputError
from digitset.record import PUBLISHED

PREFIX = "hub:"


def fetch(name: str) -> Path:
    """The folder of "hub:USER/NAME" in the Hub's cache, downloaded if it is not there.

    Raises InputError for a repository that is missing, private, or no model of digitset.
    """
    hub = _hub()
    try:
        folder = Path(hub.snapshot_download(name.removeprefix(PREFIX), allow_patterns=list(PUBLISHED)))
    except (hub.errors.HfHubHTTPError, hub.errors.HFValidationError, OSError) as error:
        raise InputError(f"{name}: not to be had from the Hub: {_line(error)}") from None
    if not (folder / "model.json").is_file():
        raise InputError(f"{name}: expected a model that `digitset publish` wrote, found no model.json in it")
    return folder


def push(folder: Path, name: str) -> str:
    """Puts a published folder on the Hub as USER/NAME, with the token of `hf auth login`; its address."""
    hub = _hub()
    try:
        address = hub.HfApi().create_repo(name, exist_ok=True)
        hub.HfApi().upload_folder(repo_id=name, folder_path=folder, allow_patterns=list(PUBLISHED))
    except (hub.errors.HfHubHTTPError, hub.errors.HFValidationError, OSError) as error:
        raise InputError(f"{name}: not put on the Hub: {_line(error)}") from None
    return str(address)


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError:
        raise InputError("the Hub needs its library: install digitset[hub]") from None
    return huggingface_hub


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
