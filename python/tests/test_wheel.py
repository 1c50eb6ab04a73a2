"""The wheel holds what an installation needs, and its description is accepted by a registry."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

for tool in ("build", "twine"):
    pytest.importorskip(tool, reason="it is in the extra `test`")

ROOT = Path(__file__).parents[2]
DATA = ["diffusion_probe/py.typed", "diffusion_probe/reference/sprites.png"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is written here. Without isolation, so that nothing is downloaded."""
    copy, out = tmp_path_factory.mktemp("source") / "python", tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "python", copy, ignore=shutil.ignore_patterns("tests", "*.egg-info", "build", "__pycache__", ".*"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    subprocess.run(build, check=True, capture_output=True)
    (found,) = out.iterdir()
    return found


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as content:
        (name,) = [name for name in content.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(content.read(name))


def test_twine_accepts_it(wheel: Path) -> None:
    result = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(wheel)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_it_holds_every_module_and_its_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT / "python")) for path in (ROOT / "python" / "diffusion_probe").rglob("*.py")}
    assert modules | set(DATA) <= names
    assert not [name for name in names if name.startswith("tests")]


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE"])
def test_it_holds_the_same_license_and_notice_as_the_repository(wheel: Path, name: str) -> None:
    with zipfile.ZipFile(wheel) as content:
        (found,) = [entry for entry in content.namelist() if entry.endswith(f".dist-info/licenses/{name}")]
        assert content.read(found) == (ROOT / name).read_bytes()


def test_its_description_says_how_to_install_and_use_it(metadata: Message) -> None:
    text = metadata.get_payload()
    assert metadata["Description-Content-Type"] == "text/markdown"
    extras = metadata.get_all("Provides-Extra")
    assert {"diffusers", "local", "train"} <= set(extras)
    assert all(f"diffusion-probe[{extra}]" in text for extra in ("diffusers", "local", "train"))
    assert "](.." not in text, "a relative link leads nowhere on a registry's page"


def test_its_metadata(metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("Project-URL")
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    assert metadata["Keywords"]


def test_what_the_client_needs_is_installed_without_an_extra(metadata: Message) -> None:
    plain = [entry.split(">")[0] for entry in metadata.get_all("Requires-Dist") if "extra ==" not in entry]
    assert sorted(plain) == ["numpy", "safetensors"]
