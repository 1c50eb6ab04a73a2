"""What `import diffusion_probe.client` takes along: it is in the start of every process that generates images."""

from __future__ import annotations

import subprocess
import sys

SLOW = ["asyncio", "httpx", "torch", "diffusers", "onnxruntime", "unittest", "multiprocessing"]


def test_no_slow_module_is_imported() -> None:
    script = f"import sys, diffusion_probe.client; print(*(name for name in {SLOW!r} if name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split() == []


def test_the_probe_in_process_needs_no_pytorch() -> None:
    script = "import sys, diffusion_probe.local; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
