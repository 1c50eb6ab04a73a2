"""Who is asked about samples: the service, or the folder of a probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..guard.served_probe import served_probe
from ..planning.plan import Plan
from ..probe.manifest import read_manifest
from ..probe.probe_info import ProbeInfo
from .backend import Questions
from .local_client import LocalClient


class Asking:
    """The probe that is asked, and the questions of a plan. A service is asked for its probes until it answers."""

    def __init__(self, family: str, client: Any, folder: str | Path | None, model: str | None, deadline_ms: float):
        """`family`: of the backend. `folder`: of a probe, which answers by itself without `client`. `model`: of the service.

        Raises ValueError where there is neither, FileNotFoundError for a folder without a probe, and NoProbeError.
        """
        self.folder = None if folder is None else Path(folder)
        self.client = client
        self._family, self._model, self._deadline_ms = family, model, deadline_ms
        self._info: ProbeInfo | None = None
        if self.folder is not None:
            manifest = read_manifest(self.folder)
            self.client = client or LocalClient(self.folder)
            self._info = ProbeInfo.read(f"{manifest['name']}@{manifest['version']}", manifest, family)
        elif client is None:
            raise ValueError("a client or the folder of a probe is needed, except for a plan without questions")

    def info(self) -> ProbeInfo | None:
        """The probe; None if the service did not list its probes. Raises NoProbeError where it has none."""
        if self._info is None:
            models = self.client.models(deadline_ms=self._deadline_ms)
            if models is not None:
                self._info = served_probe(models, self._model, self._family)
        return self._info

    def forget(self) -> None:
        """After a failure: the service may have another probe by now."""
        if self.folder is None:
            self._info = None

    def questions(self, info: ProbeInfo, plan: Plan, client: Any = None) -> Questions:
        """Those of a plan. `client`: in place of the one that is asked. Raises NoProbeError for a step that cannot be scored."""
        info.choose_steps([step for step, _ in plan.keep])
        keep = {str(step): count for step, count in plan.keep}
        # Written out, so that all steps follow one plan even if the service loads another version of the probe meanwhile. What
        # exploration saves would exceed the budget.
        policy = {"name": "plan", "seeds": plan.seeds, "keep": keep, "explore": {"rate": 0}}
        return Questions(client or self.client, info, policy, self._deadline_ms)
