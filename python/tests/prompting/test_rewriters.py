"""Rewriters: a language model behind a real HTTP server, a shell command, and a function."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from diffusion_probe.prompting import CommandRewriter, FunctionRewriter, OpenAIRewriter, RewriterError
from diffusion_probe.prompting.rewriter import ask_rewriter

from .chat_server import ChatServer, completion, error, rewrites

pytest.importorskip("openai", reason="it is in the extra `rewrite`")

PROMPT = "a cat left of two keys, in the style of {count}"
ANSWER = ["two keys right of a cat", "on the left a cat"]
FAST = {"retry-after-ms": "1"}  # the package waits half a second otherwise


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ChatServer]]:
    """Starts servers with replies. They are closed after the test."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    servers: list[ChatServer] = []

    def start(*replies: dict[str, Any]) -> ChatServer:
        servers.append(ChatServer(replies))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_a_model_is_asked_for_json_and_told_to_keep_the_meaning(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    server = serve(rewrites(*ANSWER))
    assert OpenAIRewriter("some-model", server.url, max_tokens=77)(PROMPT, 4) == ANSWER
    (request,) = server.requests
    assert (request["model"], request["max_tokens"], server.keys) == ("some-model", 77, ["Bearer secret"])
    schema = request["response_format"]["json_schema"]
    assert (request["response_format"]["type"], schema["strict"]) == ("json_schema", True)
    assert schema["schema"]["properties"]["rewrites"]["type"] == "array"
    (message,) = request["messages"]
    assert "Write 4 different rewrites" in message["content"]
    assert message["content"].rstrip().endswith(PROMPT), "what the prompt holds is no placeholder"
    assert "Keep every object" in message["content"]


def test_the_address_may_come_from_the_environment_and_a_server_of_ones_own_needs_no_key(serve, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", serve(rewrites(*ANSWER)).url)
    assert OpenAIRewriter("m")(PROMPT, 2) == ANSWER
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        OpenAIRewriter("m")


@pytest.mark.parametrize(
    "failure",
    [
        error(429, "too many requests", **FAST),
        error(500, "broken", **FAST),
        error(503, "starting", **FAST),
        {"drop": True},
        {"body": completion("here are some rewrites")},
        {"body": completion('{"texts": []}')},
        {"body": completion('{"rewrites": [1]}')},
        {"body": completion('{"rewrites": ["a", "b')},
        {"body": completion(None)},
        {"body": {"choices": []}},
        {"body": {"object": "chat.completion"}},
        {"body": completion('["a"]')},
        {"body": completion('{"rewrites": ["half"]}', finish_reason="length")},
        {"body": completion(None, refusal="no")},
    ],
    ids=lambda failure: str(failure)[:40],
)
def test_what_may_pass_is_tried_again(serve, failure: dict[str, Any]) -> None:
    server = serve(failure, rewrites(*ANSWER))
    assert OpenAIRewriter("m", server.url)(PROMPT, 2) == ANSWER
    assert len(server.requests) == 2
    assert server.requests[0] == server.requests[1]


@pytest.mark.parametrize(
    ("failure", "requests", "why"),
    [
        (error(401, "wrong key"), 1, "AuthenticationError: .*wrong key"),
        (error(404, "no such model"), 1, "NotFoundError: .*no such model"),
        (error(400, "response_format is not supported"), 1, "BadRequestError: .*response_format"),
        (error(429, "too many requests", **FAST), 3, "RateLimitError: .*too many requests"),
        (error(500, "broken", **FAST), 3, "InternalServerError: .*broken"),
        ({"body": completion("no json")}, 3, "RewriterError: the answer has another form"),
        ({"body": completion("{}", finish_reason="length")}, 3, "RewriterError: the answer was cut off"),
        ({"body": completion(None, refusal="I cannot")}, 3, "RewriterError: the model refused: I cannot"),
        ({"body": b"<html>", "headers": {"content-type": "text/html"}}, 3, "RewriterError: the answer has another form"),
        ({"body": b"{"}, None, "Error"),
    ],
    ids=["401", "404", "400", "429", "500", "no JSON", "cut off", "refusal", "a page", "half a response"],
)
def test_what_lasts_is_a_failure_with_its_reason(serve, failure: dict[str, Any], requests: int | None, why: str) -> None:
    server = serve(failure)
    found = ask_rewriter(OpenAIRewriter("m", server.url), PROMPT, 2, seconds=30)
    assert found.texts == ()
    assert re.search(why, found.failure or ""), found.failure
    assert requests in (None, len(server.requests))


def test_a_slow_server_is_not_waited_for(serve) -> None:
    server = serve({**rewrites(*ANSWER), "seconds": 20})
    started = time.monotonic()
    assert "Timeout" in ask_rewriter(OpenAIRewriter("m", server.url, seconds=0.2, retries=0), PROMPT, 2, 10).failure
    assert ask_rewriter(OpenAIRewriter("m", server.url), PROMPT, 2, 0.3).failure == "no answer within 0.3 s"
    assert time.monotonic() - started < 10


def test_a_server_that_is_not_there_is_a_failure() -> None:
    found = ask_rewriter(OpenAIRewriter("m", "http://127.0.0.1:9/v1", retries=0), PROMPT, 2, 10)
    assert found.failure.startswith("APIConnectionError")


def test_a_template_of_the_user_needs_both_placeholders(serve) -> None:
    server = serve(rewrites(*ANSWER))
    OpenAIRewriter("m", server.url, template="{count} for <{prompt}>")(PROMPT, 3)
    assert server.requests[0]["messages"][0]["content"] == f"3 for <{PROMPT}>"
    with pytest.raises(ValueError, match=r"the template of the rewriter has no \{count\}"):
        OpenAIRewriter("m", server.url, template="{prompt}")


def test_a_command_gets_the_prompt_and_writes_a_rewrite_per_line() -> None:
    command = CommandRewriter('read -r prompt; echo "$prompt, $CANDIDATES times"; echo second', 10)
    assert list(command('a cat\'s "hat"', 5)) == ['a cat\'s "hat", 5 times', "second"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("echo half; echo 'no model' >&2; exit 3", "exit code 3: no model"),
        ("exit 1", "exit code 1"),
        ("no-such-program-anywhere", "exit code 127"),
    ],
)
def test_a_command_that_fails_says_why(command: str, why: str) -> None:
    with pytest.raises(RewriterError, match=why):
        CommandRewriter(command, 10)("a cat", 2)


def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    trace = tmp_path / "alive"
    script = f"(sleep 1; touch {trace}) & sleep 30"
    started = time.monotonic()
    with pytest.raises(RewriterError, match=r"longer than 0\.2 s"):
        CommandRewriter(script, 0.2)("a cat", 2)
    assert time.monotonic() - started < 10
    time.sleep(1.5)
    assert not trace.exists()


def test_a_command_that_does_not_read_its_input_is_no_failure() -> None:
    assert list(CommandRewriter("echo one", 10)("long " * 50_000, 2)) == ["one"]


def test_a_function_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_rewriter.py").write_text("def rewrite(prompt, count):\n    return [f'{prompt} {i}' for i in range(count)]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_rewriter", raising=False)
    rewriter = FunctionRewriter("own_rewriter:rewrite")
    assert (rewriter.name, rewriter("a cat", 2)) == ("own_rewriter:rewrite", ["a cat 0", "a cat 1"])
    for name, why in [("own_rewriter:none", "has no function 'none'"), ("nowhere_at_all:f", "there is no module")]:
        with pytest.raises(ValueError, match=f"the rewriter {name} cannot be loaded: .*{why}"):
            FunctionRewriter(name)
