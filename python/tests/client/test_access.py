"""What shows the service, or a gateway in front of it, who calls: API key, headers, certificates."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.client import InvalidInputError, ProbeClient

VARIABLE = "DIFFUSION_PROBE_API_KEY"


@pytest.fixture
def headers_of(client_of, fake_server, read_request, attention, monkeypatch):
    """The headers that a client with these settings sends."""
    monkeypatch.delenv(VARIABLE, raising=False)

    def send(**settings) -> dict[str, str]:
        heads: list[str] = []
        server = fake_server(lambda connection: heads.append(read_request(connection)[0]))
        client_of(server.origin, retries=0, **settings).score(attention, 1.0)
        return dict(line.split(": ", 1) for line in heads[0].split("\r\n")[1:])

    return send


def test_the_api_key(headers_of, monkeypatch) -> None:
    assert "authorization" not in headers_of()
    assert headers_of(api_key="a-key")["authorization"] == "bearer a-key"
    monkeypatch.setenv(VARIABLE, "of-the-environment")
    assert headers_of()["authorization"] == "bearer of-the-environment"
    assert headers_of(api_key="a-key")["authorization"] == "bearer a-key"
    assert headers_of(headers={"Authorization": "Basic x"})["authorization"] == "basic x"
    monkeypatch.setenv(VARIABLE, "")
    assert "authorization" not in headers_of()


def test_further_headers(headers_of) -> None:
    sent = headers_of(headers={"X-Team": "images", "User-Agent": "mine"}, api_key="k")
    assert (sent["x-team"], sent["user-agent"], sent["authorization"]) == ("images", "mine", "bearer k")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    """A private authority, a server and a client that it knows, and another authority."""
    openssl = shutil.which("openssl")
    assert openssl, "the tests need the command openssl"
    folder = tmp_path_factory.mktemp("certificates")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        run("req", "-x509", *new_key, "-subj", f"/CN={name}", "-days", "2", "-addext", "keyUsage=critical,keyCertSign", *files)
    # Python 3.13 insists on the identifier.
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
    for name in ("server", "client"):
        run("req", *new_key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
        run("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
    (folder / "both.pem").write_text((folder / "client.pem").read_text() + (folder / "client.key").read_text())
    return folder


@pytest.fixture
def tls_origin(fake_server, certificates: Path, respond, scored_response):
    """The address of a server that wants a client certificate, or not."""

    def start(wants_certificate: bool, handle=None) -> str:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
        context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        context.verify_mode = ssl.CERT_REQUIRED if wants_certificate else ssl.CERT_NONE
        handle = handle or respond(scored_response())

        def speak(connection) -> None:
            with context.wrap_socket(connection, server_side=True) as encrypted:
                handle(encrypted)

        return fake_server(speak).origin.replace("http://", "https://")

    return start


def test_a_private_authority(client_of, attention, tls_origin, certificates: Path) -> None:
    origin = tls_origin(False)
    assert client_of(origin, ca_file=certificates / "ca.pem").score(attention, 1.0).outcome == "scored"
    for ca_file in (None, certificates / "other.pem"):
        outcome = client_of(origin, ca_file=ca_file).score(attention, 1.0)
        assert (outcome.reason, "certificate verify failed" in str(outcome.error)) == ("network", True)


def test_a_client_certificate(client_of, attention, tls_origin, certificates: Path) -> None:
    origin, ca_file = tls_origin(True), certificates / "ca.pem"
    for given in (certificates / "both.pem", (certificates / "client.pem", certificates / "client.key")):
        assert client_of(origin, ca_file=ca_file, client_certificate=given).score(attention, 1.0).outcome == "scored"
    assert client_of(origin, ca_file=ca_file).score(attention, 1.0).reason == "network"


def test_the_deadline_holds_with_tls(client_of, attention, tls_origin, certificates: Path) -> None:
    silence = threading.Event()
    client = client_of(tls_origin(False, lambda connection: silence.wait()), ca_file=certificates / "ca.pem")
    assert client.score(attention, 1.0, deadline_ms=500).reason == "timeout"
    silence.set()


def test_an_answer_while_the_server_reads_no_further_with_tls(client_of, tls_origin, certificates: Path) -> None:
    silence = threading.Event()

    def handle(connection) -> None:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n")
        silence.wait()

    client = client_of(tls_origin(False, handle), ca_file=certificates / "ca.pem", on_mistake="keep")
    outcome = client.score(np.zeros((16, 8, 64, 64, 64), np.float16), 1.0)
    assert (outcome.reason, outcome.error.status) == ("refused", 401)
    silence.set()


def test_calls_with_tls_share_a_connection(client_of, attention, tls_origin, certificates, read_request, scored_response) -> None:
    requests: list[str] = []
    connections: list[object] = []
    body = json.dumps(scored_response()).encode()

    def handle(connection) -> None:
        connections.append(connection)
        while True:
            requests.append(read_request(connection)[0])
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    client = client_of(tls_origin(False, handle), ca_file=certificates / "ca.pem")
    assert [client.score(attention, 1.0).outcome for _ in range(4)] == ["scored"] * 4
    assert (len(requests), len(connections)) == (4, 1)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"ca_file": "nowhere.pem"}, "ca_file"),
        ({"ca_file": __file__}, "ca_file"),
        ({"client_certificate": "nowhere.pem"}, "client_certificate"),
        ({"client_certificate": (__file__, __file__)}, "client_certificate"),
    ],
)
def test_a_file_that_is_no_certificate(settings, field: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"{field} is .*: expected a PEM file that can be read"):
        ProbeClient("https://127.0.0.1:1", **settings)
