"""What `import diffusion_probe.client` takes along: it is in the start of every process that generates images."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Without the modules that the start of this Python imports by itself, such as hooks of editable installs.
PATHS = f"import sys; sys.path[:] = {sys.path!r}\n"
SLOW = ["asyncio", "httpx", "torch", "diffusers", "onnxruntime", "unittest", "multiprocessing"]


def test_no_slow_module_is_imported() -> None:
    script = f"import sys, diffusion_probe.client; print(*(name for name in {SLOW!r} if name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split() == []


def test_the_probe_in_process_needs_no_pytorch() -> None:
    script = "import sys, diffusion_probe.local; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("diffusion_probe.local", "onnxruntime", "local"),
        ("diffusion_probe.capture", "torch", "diffusers"),
        ("diffusion_probe.guard", "torch", "diffusers"),
        ("diffusion_probe.check", "torch", "diffusers"),
    ],
)
def test_what_is_missing_and_how_to_install_it(module: str, missing: str, extra: str) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; import {module}"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    last = f"ModuleNotFoundError: {missing} is missing: pip install 'diffusion-probe[{extra}]'"
    assert result.stderr.splitlines()[-1] == last


def test_the_client_needs_numpy_and_safetensors_alone() -> None:
    script = """
import diffusion_probe.client
files = {name.partition(".")[0]: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
print(*(name for name, file in files.items() if "site-packages" in file))
"""
    result = subprocess.run([sys.executable, "-S", "-c", PATHS + script], capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) <= {"diffusion_probe", "numpy", "safetensors"}
