"""Probes on the Hugging Face Hub: a repository there holds one version of a probe. Needs huggingface_hub."""

from .address import HubAddress
from .pull import pull
from .push import push

__all__ = ["HubAddress", "pull", "push"]
