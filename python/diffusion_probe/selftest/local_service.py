"""Starts the TypeScript service of a checkout on a folder of probes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = Path("dist", "src", "main.js")
START_MESSAGE = "listening"  # `msg` of the line that the service logs when it accepts connections


class NoServiceError(Exception):
    """The service cannot be started; the text says what is missing."""


@contextmanager
def running_service(models: Path, checkout: Path | None = None) -> Iterator[str]:
    """Run the service on a free port, and yield its origin.

    `checkout`: by default the one that this package lies in, else the current folder. Raises NoServiceError without Node or a
    built service, and ValueError where the service refuses a probe or ends.
    """
    if checkout is None:
        around = Path(__file__).parents[3]
        checkout = around if (around / PROGRAM).exists() else Path.cwd()
    program = checkout / PROGRAM
    node = shutil.which("node")
    if node is None:
        raise NoServiceError("Node is not installed")
    if not program.exists():
        raise NoServiceError(f"the service is not built: run 'npm ci && npm run build' in {checkout}")
    settings = {"HOST": "127.0.0.1", "PORT": "0", "MODELS_DIR": str(models), "DEVICE": "cpu", "WORKERS": "1"}
    process = subprocess.Popen([node, str(program)], env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)
    try:
        yield _origin(process)
    finally:
        process.terminate()
        process.wait()


def _origin(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("msg") == START_MESSAGE:
            if not entry["ready"]:
                raise ValueError(f"the service refused the probe: {line.strip()}")
            threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would block the service
            return entry["url"]
    raise ValueError(f"the service ended with code {process.wait()} before it was ready")
