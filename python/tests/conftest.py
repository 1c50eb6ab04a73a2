"""What tests of several parts share: the service itself, servers that are none, and a tiny reference world, trained for a moment
(what its pictures look like does not matter, that everything fits does)."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from diffusion_probe.cli import main
from diffusion_probe.reference.backbone import BackboneConfig
from diffusion_probe.reference.train_backbone import train_backbone
from diffusion_probe.reference.train_reward import train_reward

ROOT = Path(__file__).parents[2]
SERVICE_START = "listening"

TINY = BackboneConfig(grid_width=16, core_width=16, core_blocks=1, text_width=16, text_layers=1, heads=2)

torch.set_num_threads(2)


class World(NamedTuple):
    """Where the parts of the tiny world lie."""

    root: Path
    backbone: Path
    reward: Path
    reference: Path
    data: Path
    checkpoint: Path
    folder: Path

    @property
    def source(self) -> list[str]:
        """Arguments that make a command use this world."""
        return ["--reference", str(self.reference)]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Checkpoints of a tiny backbone and a tiny reward."""
    root = tmp_path_factory.mktemp("world")
    world = World(
        root,
        root / "backbone.pt",
        root / "reward.pt",
        root / "reference",
        root / "data",
        root / "probe.pt",
        root / "models" / "tiny" / "3",
    )
    train_backbone(world.backbone, steps=4, compiled=False, config=TINY, batch=4)
    train_reward(world.reward, steps=4, batch=4, width=16)
    return world


@pytest.fixture(scope="session")
def world(checkpoints: World) -> World:
    """The whole chain on it, each link by its command: exported, collected, trained, calibrated, judged."""
    run = checkpoints
    data, folder = ["--data", str(run.data)], ["--folder", str(run.folder)]
    weights = ["--backbone", str(run.backbone), "--reward", str(run.reward)]
    assert main(["reference", "export", "--out", str(run.reference), *weights]) == 0
    counts = ["--train", "40", "--calibration", "24", "--test", "12", "--seeds", "4", "--test-seeds", "8"]
    assert main(["collect", *data, *counts, "--batch", "32", "--no-compile", *run.source]) == 0
    probe = [*data, "--checkpoint", str(run.checkpoint)]
    assert main(["train", *probe, "--training-steps", "6", "--width", "8"]) == 0
    assert main(["export", *probe, *folder, "--name", "tiny", "--probe-version", "3"]) == 0
    assert main(["calibrate", *data, *folder]) == 0
    assert main(["evaluate", *data, *folder, "--repeats", "5"]) == 0
    return run


class Service:
    """The service as people start it, on a free port; needs Node and `npm ci`, and builds what is stale."""

    def __init__(self, models: Path, **settings: str):
        environment = {"HOST": "127.0.0.1", "PORT": "0", "MODELS_DIR": str(models), "DEVICE": "cpu", "WORKERS": "1"}
        self.process = subprocess.Popen(
            ["node", str(ROOT / "scripts" / "start.js")],
            env={**os.environ, **environment, **settings},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.origin = self._await_start()
        # A full pipe would block the service.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def stop(self) -> None:
        """Ask it to end, and wait for that."""
        self.process.terminate()
        self.process.wait()

    def _await_start(self) -> str:
        for line in self.process.stdout:
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("msg") == SERVICE_START:
                assert entry["ready"], entry
                return entry["url"]
        raise AssertionError(f"the service ended with code {self.process.wait()} before it was ready")


@pytest.fixture(scope="session")
def start_service() -> Iterator[Callable[..., Service]]:
    """Starts services on folders of probes; they end with the session."""
    with contextlib.ExitStack() as stack:

        def start(models: Path, **settings: str) -> Service:
            service = Service(models, **settings)
            stack.callback(service.stop)
            return service

        yield start


@pytest.fixture(scope="session")
def service(start_service: Callable[..., Service]) -> Service:
    """The service with the probes of this repository."""
    return start_service(ROOT / "models")


class FakeServer:
    """A server that passes each connection to `handle`, in a thread of its own."""

    def __init__(self, handle: Callable[[socket.socket], None], path: Path | None = None):
        self.connections = 0
        self._handle = handle
        self._listener = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        self._listener.bind(("127.0.0.1", 0) if path is None else str(path))
        self._listener.listen()
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}" if path is None else f"unix://{path}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._handle(connection)


@pytest.fixture
def fake_server() -> Iterator[Callable[..., FakeServer]]:
    """Starts fake servers. They are closed after the test."""
    with contextlib.ExitStack() as stack:

        def start(handle: Callable[[socket.socket], None], path: Path | None = None) -> FakeServer:
            server = FakeServer(handle, path)
            stack.callback(server.close)
            return server

        yield start
