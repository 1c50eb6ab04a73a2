"""The files of a probe's folder that go to the hub and come from there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..probe.manifest import read_manifest, sha256_of

MANIFEST = "probe.json"
# As the service has them.
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PROBE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
# What the manifest does not list, because no score depends on it.
REPORTS = re.compile(r"report\.(md|json)|test-scores\.json|[a-z-]+\.png")


def reason_of(error: Exception) -> str:
    """The first line of an error of the hub: the others repeat the request."""
    return str(error).strip().split("\n")[0]


def is_report(name: str) -> bool:
    """Whether a file belongs to the evaluation of a probe."""
    return REPORTS.fullmatch(name) is not None


def listed_files(manifest: Mapping[str, Any]) -> list[str]:
    """The files that a manifest lists. Raises ValueError for a name that is a path."""
    names = sorted(manifest.get("files", {}))
    for name in names:
        if not FILE_NAME.fullmatch(name):
            raise ValueError(f"the manifest lists the file {name!r}: expected a plain file name")
    return names


def checked_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder whose files are all there and have the hashes that it lists. Raises ValueError otherwise."""
    manifest = read_manifest(folder)
    name, version = manifest.get("name"), manifest.get("version")
    if not isinstance(name, str) or not PROBE_NAME.fullmatch(name) or not isinstance(version, int) or version < 1:
        raise ValueError(f"the manifest names {name!r} version {version!r}: expected a name in lower case and a version from 1")
    for file in listed_files(manifest):
        path = folder / file
        if not path.is_file() or sha256_of(path) != manifest["files"][file]:
            raise ValueError(f"{file} is not the file that the manifest of {name} lists: it is missing, cut off or changed")
    return manifest


def files_of(manifest: Mapping[str, Any], present: Iterable[str]) -> list[str]:
    """The files of a probe, of those that are present: its manifest, what that lists, and the evaluation."""
    return [MANIFEST, *listed_files(manifest), *sorted(name for name in present if is_report(name))]
