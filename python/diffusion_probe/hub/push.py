"""Sends a probe to the hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

from .address import HubAddress
from .card import CARD, model_card
from .files import checked_manifest, files_of, reason_of


def push(folder: Path, address: HubAddress, private: bool = False, api: HfApi | None = None) -> str:
    """Send the probe of a folder with its evaluation and a model card, in one commit; returns the commit's hash.

    The repository is made if there is none; `private` counts only then. Raises ValueError for a folder whose files are not
    those that its manifest lists, and where the hub refuses.
    """
    api = api or HfApi()
    manifest = checked_manifest(folder)
    names = files_of(manifest, (path.name for path in folder.iterdir()))
    operations = [CommitOperationAdd(name, folder / name) for name in names]
    operations.append(CommitOperationAdd(CARD, model_card(folder, manifest, address).encode()))
    message = f"{manifest['name']} {manifest['version']}"
    try:
        api.create_repo(address.repository, private=private, exist_ok=True)
        commit = api.create_commit(
            address.repository, operations, commit_message=message, revision=address.revision, num_threads=2
        )
    except HfHubHTTPError as error:
        raise ValueError(f"{address} cannot be written: {reason_of(error)}") from error
    return commit.oid
