"""A local server that speaks the parts of the hub's HTTP API which huggingface_hub calls to read and to write a model."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Repositories by name, and what was asked for."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.revisions: list[str] = []
        self.private: dict[str, bool] = {}
        self.origin = ""

    def commit(self, repository: str, lines: list[dict]) -> None:
        files = self.repositories.setdefault(repository, {})
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]


def handler_of(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def send(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
            content = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"content-length": str(len(content)), **(headers or {})}.items():
                self.send_header(name, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("content-length", 0)))

        def do_POST(self) -> None:
            content = self.body()
            parts = self.path.strip("/").split("/")
            if self.path == "/api/repos/create":
                asked = json.loads(content)
                name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
                hub.repositories.setdefault(name, {})
                hub.private.setdefault(name, asked.get("visibility") == "private" or bool(asked.get("private")))
                self.send({"url": f"{hub.origin}/{name}"})
            elif self.path == "/api/validate-yaml":
                self.send({"errors": [], "warnings": []})
            elif self.path.endswith(".git/info/lfs/objects/batch"):
                objects = json.loads(content)["objects"]
                actions = [{**entry, "actions": {"upload": {"href": f"{hub.origin}/lfs/{entry['oid']}"}}} for entry in objects]
                self.send({"transfer": "basic", "objects": actions})
            elif parts[4] == "preupload":
                files = json.loads(content)["files"]
                modes = {path["path"]: "lfs" if path["path"].endswith((".onnx", ".safetensors")) else "regular" for path in files}
                self.send({"files": [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]})
            elif parts[4] == "commit":
                hub.revisions.append(parts[5])
                hub.commit("/".join(parts[2:4]), [json.loads(line) for line in content.splitlines()])
                self.send(
                    {"success": True, "commitOid": COMMIT, "commitUrl": f"{hub.origin}/{'/'.join(parts[2:4])}/commit/{COMMIT}"}
                )
            else:
                self.send({"error": self.path}, 404)

        def do_PUT(self) -> None:
            hub.objects[self.path.removeprefix("/lfs/")] = self.body()
            self.send({})

        def do_GET(self) -> None:
            parts = self.path.split("?")[0].strip("/").split("/")
            if parts[0] == "api":
                files = hub.repositories.get("/".join(parts[2:4]))
                hub.revisions.append(parts[5] if len(parts) > 5 else "main")
                if files is None:
                    return self.send({"error": "Repository not found"}, 404, {"x-error-code": "RepoNotFound"})
                siblings = [{"rfilename": name} for name in files]
                return self.send({"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": siblings})
            content = hub.repositories["/".join(parts[:2])].get(parts[4])
            if content is None:
                return self.send({"error": "Entry not found"}, 404, {"x-error-code": "EntryNotFound"})
            return self.send(content, headers={"x-repo-commit": parts[3], "etag": f'"{hashlib.sha256(content).hexdigest()}"'})

        do_HEAD = do_GET  # noqa: N815

    return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(hub))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.origin = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the server has no such storage
    yield hub
    server.shutdown()


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.origin, token="secret")


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    """A folder that the hub's commands take for a probe."""
    folder = tmp_path / "made" / "tiny" / "3"
    folder.mkdir(parents=True)
    files = {"model.onnx": b"weights", "selftest.safetensors": b"inputs"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    manifest = {
        "name": "tiny",
        "version": 3,
        "backbone": "tiny",
        "capture": {"family": "unet", "layers": ["a", "b"], "height": 8, "width": 8},
        "capture_id": "0" * 16,
        "metric": {"name": "clip", "range": [0, 1], "good_at": 0.5},
        "total_steps": 25,
        "decision_points": [{"step": 5, "timestep": 800.0}],
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    (folder / "probe.json").write_text(json.dumps(manifest))
    (folder / "report.md").write_text("# Report\n\nSRCC 0.7\n")
    (folder / "gap.png").write_bytes(b"picture")
    (folder / "notes.txt").write_text("mine")
    return folder
