"""The server against the bare runtime, against what anybody would write, and against MLServer where it is installed.

Server and client have a core each; everything is measured in turns, and the best turn counts: it was disturbed least.
MLServer needs an environment of its own: `python -m bench.serve --install-mlserver` makes it, under build/.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Goal, write
from bench.serving.model import FLOATS, cnn
from bench.serving.processes import Rate, Served, bare_rate, environment, rate, resident_bytes, served
from tests.ports import free_port

ROUNDS = 3
SECONDS = 2.0
CONNECTIONS = 32  # about half of them wait as the next batch while one batch runs
BATCHES = (1, 8, 32)
MLSERVER = Path("build/mlserver")
MLSERVER_PACKAGES = ("mlserver==1.7.*", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Load:
    """One load on one server."""

    server: Served
    form: str


def install_mlserver() -> None:
    """Make an environment for MLServer, once."""
    if not (MLSERVER / "bin" / "mlserver").exists():
        venv.create(MLSERVER, with_pip=True)
        subprocess.run([MLSERVER / "bin" / "pip", "install", "-q", *MLSERVER_PACKAGES], check=True)


def start_ours(stack: ExitStack, model: Path) -> Served:
    """Return our server."""
    port = free_port()
    settings = {
        "FRUGAL_MODEL_NAME": "cnn",
        "FRUGAL_MODEL_URI": model.as_uri(),
        "FRUGAL_HOST": "127.0.0.1",
        "FRUGAL_PORT": str(port),
        "FRUGAL_DRAIN_SECONDS": "1",
    }
    return stack.enter_context(served([sys.executable, "-m", "frugal_serve"], port, **settings))


def start_naive(stack: ExitStack, model: Path) -> Served:
    """Return the twenty lines."""
    port = free_port()
    return stack.enter_context(served([sys.executable, "-m", "bench.serving.naive", str(model), str(port)], port))


def start_mlserver(stack: ExitStack, model: Path) -> Served | None:
    """Return MLServer, or None where it is not installed."""
    if not (MLSERVER / "bin" / "mlserver").exists():
        return None
    folder, ports = model.parent / "mlserver", [free_port() for _ in range(3)]
    folder.mkdir()
    implementation = {"implementation": "bench.serving.mlserver_runtime.Cnn", "parameters": {"uri": str(model)}}
    (folder / "model-settings.json").write_text(json.dumps({"name": "cnn", **implementation}))
    names = ("http_port", "grpc_port", "metrics_port")
    settings = {**dict(zip(names, ports, strict=True)), "host": "127.0.0.1", "parallel_workers": 0, "debug": False}
    (folder / "settings.json").write_text(json.dumps(settings))
    command = [str((MLSERVER / "bin" / "mlserver").absolute()), "start", str(folder)]
    return stack.enter_context(served(command, ports[0]))


def turns(model: Path, loads: Mapping[str, Load]) -> Iterator[tuple[str, Rate]]:
    """Yield (name, rate) of everything, in turns."""
    for _ in range(ROUNDS):
        for batch in BATCHES:
            yield "bare", bare_rate(model, batch=batch, seconds=SECONDS)
        for name, load in loads.items():
            yield name, rate(load.server, connections=CONNECTIONS, seconds=SECONDS, form=load.form)[0]


def best(found: Iterable[tuple[str, Rate]]) -> Mapping[str, Rate]:
    """Return the best of each name, by the clock and by the CPU."""
    kept: dict[str, Rate] = {}
    for name, each in found:
        other = kept.get(name, each)
        kept[name] = Rate(
            per_second=max(each.per_second, other.per_second),
            per_cpu_second=max(each.per_cpu_second, other.per_cpu_second),
        )
    return kept


def spinning_figure(model: Path) -> Figure:
    """Return what the runtime's threads cost while they wait, with spinning off against on."""
    off, on = (
        float(
            subprocess.run(
                [sys.executable, "-m", "bench.serving.spinning", str(model), allowed],
                env=environment(),
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout
        )
        for allowed in ("0", "1")
    )
    goal = Goal(direction="at most", value=1)
    return Figure(figure="CPU of 2 threads at 50 requests/s", value=off, unit="CPU s/s", goal=goal, baseline=on)


def compared(figure: str, *, goal: float, ours: Rate, other: Rate) -> Iterator[Figure]:
    """Yield our rate against another one, by the clock and by the CPU, each with the same goal."""
    reached = Goal(direction="at least", value=goal)
    for unit, value, baseline in (
        ("requests/s", ours.per_second, other.per_second),
        ("requests/CPU s", ours.per_cpu_second, other.per_cpu_second),
    ):
        yield Figure(figure=figure, value=value, unit=unit, goal=reached, baseline=baseline)


def figures(model: Path) -> Iterator[Figure]:
    """Yield every figure."""
    with ExitStack() as stack:
        ours, naive, mlserver = (start(stack, model) for start in (start_ours, start_naive, start_mlserver))
        assert ours is not None
        assert naive is not None
        loads = {"json": Load(ours, "json"), "binary": Load(ours, "binary"), "naive": Load(naive, "json")}
        if mlserver is not None:
            loads["mlserver"] = Load(mlserver, "json")
        found = best(turns(model, loads))
        _, alone = rate(ours, connections=1, seconds=SECONDS, form="json")
        held_bytes = resident_bytes(ours.process)
    json_name = f"JSON of {FLOATS} floats"
    yield from compared("binary, against the bare runtime", goal=0.8, ours=found["binary"], other=found["bare"])
    yield from compared(f"{json_name}, against Starlette", goal=1, ours=found["json"], other=found["naive"])
    if "mlserver" in found:
        yield from compared(f"{json_name}, against MLServer 1.7", goal=2, ours=found["json"], other=found["mlserver"])
    yield Figure(figure="JSON latency p50, one client", value=alone["p50"] * 1000, unit="ms")
    yield Figure(figure="JSON latency p99, one client", value=alone["p99"] * 1000, unit="ms")
    yield Figure(figure="resident memory", value=held_bytes / 2**20, unit="MiB")
    yield spinning_figure(model)


def main() -> None:
    """Measure, write build/bench/serve.json, and say so when MLServer is absent."""
    if "--install-mlserver" in sys.argv[1:]:
        install_mlserver()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "cnn.onnx"
        model.write_bytes(cnn().SerializeToString())
        path = write("serve", figures(model))
    print(path.read_text())
    if "MLServer" not in path.read_text():
        print("MLServer is not installed; to compare with it: python -m bench.serve --install-mlserver")


if __name__ == "__main__":
    main()
