"""A shell command as a rewriter."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence

from .rewriter import DETAIL, RewriterError

COUNT_VARIABLE = "CANDIDATES"


class CommandRewriter:
    """Runs a command for each prompt: the prompt on stdin, one rewrite per line on stdout, exit code 0.

    The environment variable `CANDIDATES` holds how many rewrites are wanted.
    """

    name = "command"

    def __init__(self, command: str, seconds: float):
        """`seconds`: after which the command is killed, with everything that it has started."""
        self._command, self._seconds = command, seconds

    def __call__(self, prompt: str, count: int) -> Sequence[str]:
        """Raises RewriterError for a command that fails."""
        process = subprocess.Popen(
            self._command,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, COUNT_VARIABLE: str(count)},
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(f"{prompt}\n".encode(), self._seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise RewriterError(f"the command took longer than {self._seconds:g} s") from None
        if process.returncode != 0:
            said = errors.decode(errors="replace").strip()[-DETAIL:]
            raise RewriterError(f"the command ended with exit code {process.returncode}{said and ': ' + said}")
        return output.decode(errors="replace").splitlines()
