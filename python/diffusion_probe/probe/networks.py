"""The networks of a probe, by the name that its configuration holds."""

from __future__ import annotations

from .blocks import Network
from .config import ProbeConfig
from .lean_network import LeanProbe
from .network import Probe

NETWORKS: dict[str, type[Network]] = {"full": Probe, "lean": LeanProbe}


def build_network(config: ProbeConfig) -> Network:
    """An untrained network. Raises ValueError for an unknown name, and for signals or maps that the network does not read."""
    if config.network not in NETWORKS:
        raise ValueError(f"unknown network {config.network!r}: expected one of {', '.join(NETWORKS)}")
    return NETWORKS[config.network](config)
