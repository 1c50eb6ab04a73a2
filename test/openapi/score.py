"""Scores a safetensors file with the client that openapi-python-client generates. .ci/openapi runs it."""

import io
import os
import sys
from pathlib import Path

from diffusion_probe_client import Client
from diffusion_probe_client.api.score import score
from diffusion_probe_client.models import Scored
from diffusion_probe_client.types import File

body = File(payload=io.BytesIO(Path(sys.argv[1]).read_bytes()))
answer = score.sync(client=Client(base_url=os.environ["ORIGIN"]), body=body)
if not isinstance(answer, Scored):
    sys.exit(f"not scored: {answer}")
print([(result.index, result.decision.value, result.score) for result in answer.results])
