"""A server that speaks the protocol of OpenAI's chat completions, as far as a rewriter uses it, and that can misbehave."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/v1/chat/completions"


def completion(content: str | None, finish_reason: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    """A chat completion with one choice."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def rewrites(*texts: str) -> dict[str, Any]:
    """A reply that answers as it was asked to."""
    return {"body": completion(json.dumps({"rewrites": texts}))}


def error(status: int, message: str, **headers: str) -> dict[str, Any]:
    """A reply that refuses."""
    return {"status": status, "body": {"error": {"message": message, "type": "t", "code": "c"}}, "headers": headers}


class ChatServer:
    """Answers each request with the next reply; the last one goes on.

    A reply has `body` (JSON, or bytes), and may have `status`, `headers`, `seconds` (a pause before it) and `drop` (no answer).
    """

    def __init__(self, replies: Sequence[dict[str, Any]]):
        self.requests: list[dict[str, Any]] = []  # their bodies
        self.keys: list[str | None] = []  # of the header authorization
        self._replies = list(replies)
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                owner._reply(self, body)

            def log_message(self, *arguments: Any) -> None:
                """Keep the tests' output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _reply(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        with self._lock:
            self.requests.append(json.loads(body))
            self.keys.append(handler.headers["authorization"])
            reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        time.sleep(reply.get("seconds", 0))
        if reply.get("drop"):
            handler.close_connection = True
            return
        if handler.path != PATH:
            reply = error(404, f"there is no {handler.path}")
        data = reply["body"] if isinstance(reply["body"], bytes) else json.dumps(reply["body"]).encode()
        handler.send_response(reply.get("status", 200))
        for name, value in {"content-type": "application/json", **reply.get("headers", {})}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
