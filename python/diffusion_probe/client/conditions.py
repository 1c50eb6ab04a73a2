"""Sends how images are drawn: a fingerprint with every request, and the document after an answer that does not know it."""

from __future__ import annotations

from .requests import StatedConditions

MAX_DOCUMENT = 32_768  # characters; the service refuses longer ones
MAX_UNKNOWN = 256
UNKNOWN = "unknown"


class ConditionsSender:
    """Remembers which fingerprints the service does not know."""

    def __init__(self) -> None:
        self._unknown: set[str] = set()

    def metadata(self, stated: StatedConditions | None) -> dict[str, str]:
        """The metadata of the next request."""
        if stated is None:
            return {}
        is_sent = stated.document is not None and len(stated.document) <= MAX_DOCUMENT and stated.id in self._unknown
        return {"conditions_id": stated.id, **({"conditions": stated.document or ""} if is_sent else {})}

    def learn(self, stated: StatedConditions | None, state: str) -> None:
        """`state`: what the answer to a request says of its conditions."""
        if stated is None:
            return
        if state != UNKNOWN:
            self._unknown.discard(stated.id)
        elif len(self._unknown) < MAX_UNKNOWN:
            self._unknown.add(stated.id)
