"""A simple server for comparison: the probe behind FastAPI, one inference per request, in the process that took it."""

import os

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

options = ort.SessionOptions()
options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
session = ort.InferenceSession(os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"])
_, layers, _, height, width = next(value.shape for value in session.get_inputs() if value.name == "attention")

app = FastAPI()


@app.post("/score")
async def score(request: Request, samples: int, tokens: int, timestep: float) -> JSONResponse:
    """The body is the attention: float16 [samples, layers, tokens, height, width]."""
    attention = np.frombuffer(await request.body(), np.float16).reshape(samples, layers, tokens, height, width)
    (scores,) = session.run(
        ["score"],
        {
            "attention": attention,
            "token_mask": np.ones((samples, tokens), np.uint8),
            "timestep": np.full(samples, timestep, np.float32),
        },
    )
    return JSONResponse({"scores": scores.tolist()})
