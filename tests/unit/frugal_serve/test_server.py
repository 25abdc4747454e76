"""The server as the operator starts it: a process, its probes, its protocol, its metrics, its end."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import orjson
import pytest
from onnx import TensorProto

from .conftest import Launch, ServerProcess, eventually


def rows(*values: list[float]) -> dict[str, object]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(values), 4], "data": list(values)}]}


@pytest.fixture(scope="module")
def server(launch: Launch, linear: Path) -> ServerProcess:
    return launch(linear, MODEL_VERSION="3", LATENCY_THRESHOLD_SECONDS="0.0375", MAX_BATCH="16")


@pytest.fixture(scope="module")
def session(linear: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(linear, providers=["CPUExecutionProvider"])


# the protocol


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/m/ready", {"name": "m", "ready": True}),
        ("/v2/models/m/versions/3/ready", {"name": "m", "ready": True}),
        (
            "/v2/models/m",
            {
                "name": "m",
                "versions": ["3"],
                "platform": "onnxruntime_onnx",
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
                "outputs": [
                    {"name": "y", "datatype": "FP32", "shape": [-1, 3]},
                    {"name": "s", "datatype": "FP32", "shape": [-1, 1]},
                ],
            },
        ),
    ],
)
def test_the_protocols_routes_answer(path: str, answer: object, server: ServerProcess) -> None:
    response = server.get(path)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == answer


def test_the_server_says_which_extension_it_has(server: ServerProcess) -> None:
    assert server.get("/v2").json()["extensions"] == ["binary_tensor_data"]


def test_the_versioned_metadata_is_the_same(server: ServerProcess) -> None:
    assert server.get("/v2/models/m/versions/3").json() == server.get("/v2/models/m").json()


def test_an_inference_gives_what_the_runtime_gives(
    server: ServerProcess, session: onnxruntime.InferenceSession
) -> None:
    x = np.random.default_rng(2).random((3, 4)).astype(np.float32)

    answer = server.infer({"id": "a", **rows(*x.tolist())}).json()

    y, s = session.run(["y", "s"], {"x": x})
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("m", "3", "a")
    assert [output["name"] for output in answer["outputs"]] == ["y", "s"]
    assert [output["shape"] for output in answer["outputs"]] == [[3, 3], [3, 1]]
    np.testing.assert_allclose(answer["outputs"][0]["data"], y.ravel(), rtol=1e-6)
    np.testing.assert_allclose(answer["outputs"][1]["data"], s.ravel(), rtol=1e-5)


def test_only_the_wanted_outputs_come_in_the_wanted_order(server: ServerProcess) -> None:
    answer = server.infer({**rows([1, 2, 3, 4]), "outputs": [{"name": "s"}]}).json()

    assert [output["name"] for output in answer["outputs"]] == ["s"]


def test_binary_tensors_go_both_ways(server: ServerProcess, session: onnxruntime.InferenceSession) -> None:
    x = np.random.default_rng(3).random((2, 4)).astype(np.float32)
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 4], "parameters": {"binary_data_size": x.nbytes}}
    head = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})

    response = httpx.post(
        f"{server.url}/v2/models/m/versions/3/infer",
        content=head + x.tobytes(),
        headers={"Inference-Header-Content-Length": str(len(head))},
    )

    json_bytes = int(response.headers["inference-header-content-length"])
    outputs = orjson.loads(response.content[:json_bytes])["outputs"]
    assert response.headers["content-type"] == "application/octet-stream"
    assert [output["parameters"]["binary_data_size"] for output in outputs] == [24, 8]
    assert all("data" not in output for output in outputs)
    y = np.frombuffer(response.content[json_bytes : json_bytes + 24], np.float32).reshape(2, 3)
    np.testing.assert_allclose(y, session.run(["y"], {"x": x})[0], rtol=1e-6)


NUMPY_KINDS = [
    (TensorProto.BOOL, "BOOL", np.bool_),
    (TensorProto.UINT8, "UINT8", np.uint8),
    (TensorProto.UINT16, "UINT16", np.uint16),
    (TensorProto.UINT32, "UINT32", np.uint32),
    (TensorProto.UINT64, "UINT64", np.uint64),
    (TensorProto.INT8, "INT8", np.int8),
    (TensorProto.INT16, "INT16", np.int16),
    (TensorProto.INT32, "INT32", np.int32),
    (TensorProto.INT64, "INT64", np.int64),
    (TensorProto.FLOAT16, "FP16", np.float16),
    (TensorProto.FLOAT, "FP32", np.float32),
    (TensorProto.DOUBLE, "FP64", np.float64),
]


def infer_both_ways(server: ServerProcess, datatype: str, payload: bytes, values: list[object]) -> tuple[object, bytes]:
    """Return the JSON values of an echo of `values`, and the bytes of an echo of `payload`."""
    tensor = {"name": "x", "datatype": datatype, "shape": [1, 2]}
    found = server.infer({"inputs": [{**tensor, "data": values}]})
    assert found.status_code == 200, found.text
    head = orjson.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": len(payload)}}],
            "parameters": {"binary_data_output": True},
        }
    )
    headers = {"Inference-Header-Content-Length": str(len(head))}
    binary = httpx.post(f"{server.url}/v2/models/m/infer", content=head + payload, headers=headers)
    assert binary.status_code == 200, binary.text
    return found.json()["outputs"][0]["data"], binary.content[int(binary.headers["inference-header-content-length"]) :]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "datatype", "dtype"), NUMPY_KINDS)
def test_every_datatype_goes_through(
    kind: int, datatype: str, dtype: type[np.generic], echo: Callable[[int], Path], launch: Launch
) -> None:
    server = launch(echo(kind), DRAIN_SECONDS="0.1")
    array = np.array([[0, 1]], dtype)

    values, payload = infer_both_ways(server, datatype, array.tobytes(), array.ravel().tolist())

    assert values == array.ravel().tolist()
    assert payload == array.tobytes()
    assert server.stop() == 0


def test_strings_go_through(echo: Callable[[int], Path], launch: Launch) -> None:
    server = launch(echo(TensorProto.STRING))
    payload = b"\x02\x00\x00\x00\xc3\xa9\x00\x00\x00\x00"

    values, returned = infer_both_ways(server, "BYTES", payload, ["é", ""])

    assert values == ["é", ""]
    assert returned == payload


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/", 404, "/v2/models/m"),
        ("GET", "/v2/models/other", 404, "'/v2/models/other'"),
        ("POST", "/v2/models/other/infer", 404, "/v2/models/m"),
        ("POST", "/v2/models/m/versions/9/infer", 404, "/v2/models/m"),
        ("GET", "/v2/models/m/infer", 405, "answers POST, not GET"),
        ("DELETE", "/v2/health/live", 405, "answers GET"),
        ("POST", "/v2/models/m/infer", 400, "no JSON"),
    ],
)
def test_errors_have_the_protocols_form(method: str, path: str, status: int, words: str, server: ServerProcess) -> None:
    response = httpx.request(method, server.url + path)

    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert words in response.json()["error"]


def test_a_compressed_body_is_refused(server: ServerProcess) -> None:
    assert server.infer(rows([1, 2, 3, 4]), headers={"Content-Encoding": "gzip"}).status_code == 415


def test_a_path_may_have_a_query(server: ServerProcess) -> None:
    assert server.get("/v2/health/live?verbose=1").status_code == 200


# batching


def test_many_clients_get_what_each_would_get_alone(
    launch: Launch, linear: Path, session: onnxruntime.InferenceSession
) -> None:
    server = launch(linear, BATCH_DELAY_MS="20", MAX_BATCH="8")
    inputs = [np.random.default_rng(seed).random((1 + seed % 3, 4)).astype(np.float32) for seed in range(60)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda x: server.infer(rows(*x.tolist())).json()["outputs"][0], inputs))

    for x, answer in zip(inputs, answers, strict=True):
        y = session.run(["y"], {"x": x})[0]
        np.testing.assert_allclose(answer["data"], y.ravel(), rtol=1e-5, atol=1e-6)
    metrics = server.metrics()
    assert metrics["frugal_serve_batch_size_sum"] == sum(len(x) for x in inputs)
    assert metrics["frugal_serve_batch_size_count"] < 60  # some ran together


def test_a_value_that_the_runtime_refuses_spoils_no_neighbour(launch: Launch, lookup: Path) -> None:
    server = launch(lookup, BATCH_DELAY_MS="50", MAX_BATCH="32")

    def ask(index: int) -> tuple[int, object]:
        answer = server.infer({"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [index]}]})
        return answer.status_code, answer.json().get("outputs", [{}])[0].get("data")

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))

    assert [answer for _, answer in answers[:10]] == [[float(index)] for index in range(10)]
    assert all(status in {400, 500} for status, _ in answers[10:])


# overload and clients that leave


def post_bytes(body: object) -> bytes:
    payload = json.dumps(body).encode()
    return b"POST /v2/models/m/infer HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n%b" % (len(payload), payload)


ONE = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}


def test_over_the_queues_limit_clients_are_told_to_come_again(launch: Launch, slow: Path) -> None:
    server = launch(slow, MAX_BATCH="1", QUEUE_LIMIT="1")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.infer(ONE), range(8)))

    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert "queued" in refused.json()["error"]
    metrics = server.metrics()
    assert metrics["frugal_serve_requests_total{200}"] == statuses.count(200)
    assert metrics["frugal_serve_requests_total{503}"] == statuses.count(503)


def test_the_work_of_a_client_that_left_is_not_done(launch: Launch, slow: Path) -> None:
    server = launch(slow, MAX_BATCH="1")
    waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
    for each in waiting:
        each.sendall(post_bytes(ONE))
    eventually(lambda: server.metrics()["frugal_serve_in_flight_requests"] == 4)

    for each in waiting[1:]:
        each.close()
    answer = waiting[0].recv(10_000)
    eventually(lambda: server.metrics()["frugal_serve_in_flight_requests"] == 0)
    waiting[0].close()

    metrics = server.metrics()
    assert answer.startswith(b"HTTP/1.1 200")
    assert metrics["frugal_serve_queue_depth"] == 0
    assert metrics["frugal_serve_requests_total{499}"] == 3
    assert metrics["frugal_serve_compute_duration_seconds_count"] < 4


# metrics


def test_metrics_count_what_was_sent(launch: Launch, linear: Path) -> None:
    server = launch(linear, MODEL_VERSION="3")
    for _ in range(5):
        server.infer(rows([1, 2, 3, 4], [5, 6, 7, 8]))
    for _ in range(2):
        server.infer({"inputs": []})
    server.get("/v2/models/m")

    metrics = server.metrics()

    assert metrics["frugal_serve_requests_total{200}"] == 5
    assert metrics["frugal_serve_requests_total{400}"] == 2
    assert metrics["frugal_serve_request_duration_seconds_count"] == 7
    assert metrics["frugal_serve_queue_duration_seconds_count"] == 5
    assert metrics["frugal_serve_compute_duration_seconds_count"] == 5
    assert metrics["frugal_serve_batch_size_sum"] == 10
    assert metrics["frugal_serve_queue_depth"] == 0
    assert metrics["frugal_serve_in_flight_requests"] == 0
    assert metrics["frugal_serve_model_load_seconds"] > 0
    assert metrics["process_cpu_seconds_total"] > 0
    assert metrics["process_resident_memory_bytes"] > 1e6


def test_the_objectives_threshold_is_an_edge_of_the_latency_histogram(server: ServerProcess) -> None:
    server.infer(rows([1, 2, 3, 4]))

    text = server.get("/metrics").text

    assert 'frugal_serve_request_duration_seconds_bucket{le="0.0375",model="m",version="3"}' in text


def test_the_model_is_named_with_its_digest(server: ServerProcess, linear: Path) -> None:
    digest = hashlib.sha256(linear.read_bytes()).hexdigest()

    text = server.get("/metrics").text

    labels = f'model="m",runtime="onnxruntime {onnxruntime.__version__}",sha256="{digest}",version="3"'
    assert f"frugal_serve_model_info{{{labels}}} 1.0" in text


# life


def test_a_server_is_live_first_and_ready_when_its_model_is_loaded(
    launch: Launch, linear: Path, tmp_path: Path
) -> None:
    slow_file = tmp_path / "model.onnx"
    os.mkfifo(slow_file)  # its reader waits for a writer
    server = launch(slow_file, is_ready=False)

    before = [server.get(path).status_code for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/m/ready")]
    refused = server.infer(rows([1, 2, 3, 4]))
    slow_file.write_bytes(linear.read_bytes())
    eventually(server.is_ready)

    assert before == [200, 503, 503]
    assert refused.status_code == 503
    assert "retry-after" in refused.headers
    assert server.infer(rows([1, 2, 3, 4])).status_code == 200


def test_a_server_that_is_stopped_while_it_loads_ends_well(launch: Launch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")
    server = launch(tmp_path / "model.onnx", is_ready=False, DRAIN_SECONDS="0.1")

    assert server.stop() == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"MODEL_SHA256": "0" * 64}, "DigestMismatch"),
        ({"MODEL_URI": "file:///none/model.onnx"}, "ArtifactMissing"),
        ({"MODEL_URI": "pvc://models/model.onnx"}, "FRUGAL_VOLUMES"),
        ({"MODEL_URI": "s3://key:secret@bucket/model.onnx"}, "carries credentials"),
    ],
)
def test_a_model_that_cannot_be_served_ends_the_server_with_the_reason(
    settings: dict[str, str], words: str, launch: Launch, linear: Path, tmp_path: Path
) -> None:
    end = tmp_path / "end"

    server = launch(linear, is_ready=False, TERMINATION_LOG=str(end), **settings)

    assert server.process.wait(30) == 1
    assert words in end.read_text()
    assert "secret@" not in end.read_text() + server.log.read_text()


def test_a_wrong_setting_ends_the_server_with_its_name(launch: Launch, linear: Path, tmp_path: Path) -> None:
    server = launch(linear, is_ready=False, PORT="http", TERMINATION_LOG=str(tmp_path / "end"))

    assert server.process.wait(30) == 2
    assert "FRUGAL_PORT='http'" in (tmp_path / "end").read_text()


def test_a_drain_under_load_loses_nothing(launch: Launch, linear: Path) -> None:
    server = launch(linear, DRAIN_SECONDS="4")
    answered = [0] * 8
    lost: list[str] = []
    is_under_way = threading.Barrier(9)

    def ask(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=20) as client:
            while True:
                try:
                    status = client.post("/v2/models/m/infer", json=rows([1, 2, 3, 4])).status_code
                except httpx.ConnectError:  # the listener is closed: nobody promised anything
                    return
                except httpx.HTTPError as error:
                    lost.append(repr(error))
                    return
                if status != 200:
                    lost.append(str(status))
                answered[number] += 1
                if answered[number] == 20:
                    is_under_way.wait(20)

    with ThreadPoolExecutor(8) as pool:
        for number in range(8):
            pool.submit(ask, number)
        is_under_way.wait(20)
        status = server.stop()

    assert lost == []
    assert min(answered) > 20
    assert status == 0


def test_a_server_that_drains_is_unready_but_still_serves(launch: Launch, slow: Path) -> None:
    server = launch(slow, MAX_BATCH="1", DRAIN_SECONDS="20")
    with ThreadPoolExecutor(4) as pool:
        queued = [pool.submit(server.infer, ONE) for _ in range(4)]
        eventually(lambda: server.metrics()["frugal_serve_in_flight_requests"] == 4)

        server.process.terminate()
        eventually(lambda: not server.is_ready())
        is_live = server.get("/v2/health/live").status_code
        late = server.infer(ONE)

        assert [future.result().status_code for future in queued] == [200] * 4
    assert is_live == 200
    assert late.status_code == 200
    assert late.headers["connection"] == "close"
    assert server.process.wait(30) == 0


def test_a_stop_while_idle_closes_kept_connections_and_ends(launch: Launch, linear: Path) -> None:
    server = launch(linear, DRAIN_SECONDS="4")
    with httpx.Client(base_url=server.url) as client:
        client.get("/v2")

        assert server.stop() == 0
    events = [json.loads(line)["event"] for line in server.log.read_text().splitlines()]
    assert events == ["listening", "ready", "draining", "ended"]
