"""Fetches a probe from the hub into a model repository."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from ..probe.manifest import read_manifest
from .address import HubAddress
from .files import MANIFEST, checked_manifest, files_of, reason_of


def pull(address: HubAddress, models: Path, api: HfApi | None = None) -> Path:
    """Fetch a probe into `models/<name>/<version>`, and return that folder.

    The files come into a temporary folder beside it. It is renamed when they all have the hashes that the manifest lists, so a
    service that watches `models` never sees a part. Raises ValueError for a repository without a sound probe, and where the
    folder holds another probe; ConnectionError where the hub cannot be asked.
    """
    api = api or HfApi()
    models.mkdir(parents=True, exist_ok=True)
    # The service ignores names that begin with a dot.
    temporary = Path(tempfile.mkdtemp(prefix=".pull-", dir=models))
    try:
        _download(address, temporary, api)
        manifest = checked_manifest(temporary)
        folder = models / manifest["name"] / str(manifest["version"])
        if (folder / MANIFEST).exists():
            if read_manifest(folder) == manifest:
                return folder
            raise ValueError(f"{folder} holds another probe: remove it first, or raise the version")
        folder.parent.mkdir(exist_ok=True)
        temporary.chmod(0o755)
        temporary.rename(folder)
        return folder
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _download(address: HubAddress, folder: Path, api: HfApi) -> None:
    repository, revision = address.repository, address.revision
    try:
        info = api.model_info(repository, revision=revision)
        present = [entry.rfilename for entry in info.siblings or ()]
        if MANIFEST not in present:
            raise ValueError(f"{address} holds no {MANIFEST}: it is no probe")
        # By commit, so that all files are of one.
        source = {"repo_id": repository, "revision": info.sha, "local_dir": folder}
        api.hf_hub_download(filename=MANIFEST, **source)
        for name in files_of(read_manifest(folder), present)[1:]:
            if name not in present:
                raise ValueError(f"{address} lacks the file {name} that its manifest lists")
            api.hf_hub_download(filename=name, **source)
    except HfHubHTTPError as error:
        raise ValueError(f"{address} cannot be read: {reason_of(error)}") from error
    except ValueError:
        raise
    except Exception as error:  # of the HTTP library, which differs between versions of huggingface_hub
        raise ConnectionError(f"the hub cannot be asked for {address}: {reason_of(error)}") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
