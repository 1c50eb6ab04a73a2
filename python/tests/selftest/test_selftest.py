"""The selftest on one backbone; CI runs the command on all of them."""

from pathlib import Path

import pytest

from diffusion_probe.cli import main
from diffusion_probe.selftest.local_service import NoServiceError, running_service
from diffusion_probe.selftest.stages import selftest

STAGES = ["collect", "train", "export", "calibrate", "evaluate", "serve", "guard"]


def test_all_stages_pass_on_one_backbone(service, capsys: pytest.CaptureFixture[str]) -> None:
    """The fixture `service` builds the service that the selftest starts."""
    assert main(["selftest", "--backbone", "flux"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [line for line in lines if line[:1] == ["flux"]]
    assert [row[1] for row in rows] == STAGES
    assert "16 scores over" in " ".join(rows[5])
    assert "1 of 3 images finished" in " ".join(rows[6])
    assert "its figures say nothing about quality" in " ".join(lines[-1])


def test_a_stage_that_fails_ends_it() -> None:
    with pytest.raises(ValueError, match="collect on sd15 ended with code 2"):
        selftest(["sd15"], lambda arguments: 2)


def test_the_error_says_what_the_service_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "node")
    with pytest.raises(NoServiceError, match="npm ci && npm run build"), running_service(tmp_path, checkout=tmp_path):
        pass
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(NoServiceError, match="Node is not installed"), running_service(tmp_path):
        pass
