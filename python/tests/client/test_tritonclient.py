"""tritonclient, unmodified, against the real service: its calls are those of its own examples."""

from __future__ import annotations

from urllib.parse import urlsplit

import numpy as np
import pytest
from tritonclient import http as httpclient
from tritonclient import utils

from diffusion_probe.client import ProbeClient

OUTPUTS = ["score", "decision", "rank", "percentile", "p_good", "threshold"]
POLICY = '{"name": "top_k", "k": 2, "explore": {"rate": 0}}'


@pytest.fixture
def triton(service):
    client = httpclient.InferenceServerClient(url=urlsplit(service.origin).netloc)
    yield client
    client.close()


def inputs_of(tensors: dict[str, np.ndarray], binary: bool = True) -> list:
    names = {"float16": "FP16", "float32": "FP32", "uint8": "UINT8"}
    inputs = []
    for name, tensor in tensors.items():
        values = tensor if binary else tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor
        entry = httpclient.InferInput(name, list(values.shape), names[values.dtype.name])
        entry.set_data_from_numpy(values, binary_data=binary)
        inputs.append(entry)
    return inputs


def test_the_server_is_alive_and_ready(triton) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("pictogram")
    assert not triton.is_model_ready("none")


def test_metadata_and_configuration(triton) -> None:
    assert triton.get_server_metadata()["name"] == "diffusion-probe"
    metadata = triton.get_model_metadata("pictogram")
    config = triton.get_model_config("pictogram")
    assert [entry["name"] for entry in metadata["inputs"]] == [entry["name"] for entry in config["input"]]
    assert [entry["name"] for entry in metadata["outputs"]] == OUTPUTS
    assert config["max_batch_size"] >= 8
    assert {entry["name"] for entry in triton.get_model_repository_index()} >= {"pictogram"}


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_scores_equal_those_of_the_client(triton, service, group, compression, binary) -> None:
    tensors, metadata = group
    if not binary:  # the service takes less JSON
        tensors = {name: tensor[:2] for name, tensor in tensors.items()}
    with ProbeClient(service.origin, deadline_ms=30_000) as client:
        expected = client.score(
            tensors["attention"],
            tensors["timestep"],
            token_mask=tensors["token_mask"],
            policy={"name": "top_k", "k": 2, "explore": {"rate": 0}},
            capture_id=metadata["capture_id"],
        )
    outputs = [httpclient.InferRequestedOutput(name, binary_data=binary) for name in OUTPUTS]
    answer = triton.infer(
        "pictogram",
        inputs_of(tensors, binary),
        outputs=outputs,
        request_id="1",
        timeout=30_000_000,
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
        parameters={"policy": POLICY, "capture_id": metadata["capture_id"]},
    )
    assert answer.get_response()["id"] == "1"
    np.testing.assert_allclose(answer.as_numpy("score"), [result.score for result in expected.results], atol=1e-3)
    keeps = [result.decision == "keep" for result in expected.results]
    np.testing.assert_array_equal(answer.as_numpy("decision"), keeps)
    np.testing.assert_array_equal(answer.as_numpy("rank"), [result.rank for result in expected.results])
    assert np.isnan(answer.as_numpy("threshold")).all()


def test_all_outputs_come_where_none_is_named(triton, group) -> None:
    answer = triton.infer("pictogram", inputs_of(group[0]))
    assert [output["name"] for output in answer.get_response()["outputs"]] == OUTPUTS
    assert answer.as_numpy("decision").dtype == np.uint8


def test_a_timeout_that_is_too_short_keeps_every_sample(triton, group) -> None:
    answer = triton.infer("pictogram", inputs_of(group[0]), timeout=1)
    assert answer.get_response()["parameters"] == {"outcome": "failed_open", "reason": "deadline"}
    assert answer.as_numpy("decision").tolist() == [1] * 8
    assert np.isnan(answer.as_numpy("score")).all()


def test_a_mistake_is_an_error_with_its_reason(triton, group) -> None:
    tensors = {name: tensor for name, tensor in group[0].items() if name != "timestep"}
    with pytest.raises(utils.InferenceServerException, match="timestep"):
        triton.infer("pictogram", inputs_of(tensors))


def test_statistics_count_what_was_inferred(triton, group) -> None:
    def counts() -> dict:
        (statistics,) = triton.get_inference_statistics("pictogram")["model_stats"]
        return statistics

    before = counts()["inference_count"]
    triton.infer("pictogram", inputs_of(group[0]))
    after = counts()
    assert after["inference_count"] == before + 8
    assert {"success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"} == set(
        after["inference_stats"]
    )
