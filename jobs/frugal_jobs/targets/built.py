"""What targets make and how it is run: the words that every target shares. Knows no runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from numpy.typing import NDArray
from onnx import ModelProto

from frugal.api.compression_steps import QuantizeStep
from frugal_jobs.models.model import Model, Port, joined
from frugal_jobs.models.running import Run

Form = QuantizeStep | None
"""How a target stores and computes: one quantization that its runtime runs well, or None for float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One artifact of a target other than ONNX Runtime; it has what is measured of a Model."""

    target: str
    extension: str  # of the file, with the dot
    content: bytes
    source: Model  # the float graph that it was made from
    form: Form

    @property
    def size_bytes(self) -> int:
        """The size of the file."""
        return len(self.content)

    @property
    def proto(self) -> ModelProto:
        """The float graph that it computes."""
        return self.source.proto

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What must be fed, as the source names it, in batches of one where the source leaves their size open."""
        return tuple(replace(port, shape=(port.shape[0] or 1, *port.sample_shape)) for port in self.source.inputs)

    def opened(self) -> Run:
        """Return it loaded in its own runtime."""
        from frugal_jobs.targets.registry import RUNTIME_TARGETS

        with TemporaryDirectory() as folder:  # runtimes map or read the file while they load
            path = Path(folder) / f"model{self.extension}"
            path.write_bytes(self.content)
            return RUNTIME_TARGETS[self.target].runner(path, self.inputs).run

    @property
    def outputs(self) -> tuple[Port, ...]:
        """What comes out, as the source names it."""
        return self.source.outputs

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return self.source.parameters

    @property
    def label(self) -> str:
        """What was done, for people."""
        return self.source.label if self.form is None else joined(self.source.label, label_of(self.form))

    @property
    def steps(self) -> tuple[dict[str, Any], ...]:
        """The pipeline that makes it for this target."""
        return self.source.steps if self.form is None else (*self.source.steps, {"quantize": step_of(self.form)})


def restored(target: str, path: Path, source: Model) -> Built:
    """Return the artifact in the file at `path`, which was made from `source`; raises KeyError for no target."""
    from frugal_jobs.targets.registry import RUNTIME_TARGETS

    known = RUNTIME_TARGETS[target]
    return Built(target=known.name, extension=known.extension, content=path.read_bytes(), source=source, form=None)


def step_of(form: QuantizeStep) -> dict[str, Any]:
    """Return the step as a pipeline writes it."""
    return form.model_dump(mode="json", by_alias=True)


def label_of(form: Form) -> str:
    """Return the short name of a form for people."""
    if form is None:
        return "float32"
    if form.scheme != "linear":
        return form.scheme
    name = f"int{form.bits}"
    return name if form.mode == "static" else f"{name} ({form.mode})"


class Runner(Protocol):
    """An artifact loaded in its own runtime, on one thread."""

    def run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the first output for one batch of the artifact's own size; conversion of inputs included."""
        ...


class RuntimeTarget(Protocol):
    """A runtime that artifacts can be made for; one file each, and one line in the registry."""

    @property
    def name(self) -> str:
        """Runtime and device, as a CompressionJob's target reads."""
        ...

    @property
    def extension(self) -> str:
        """Of its files, with the dot."""
        ...

    @property
    def modules(self) -> tuple[str, ...]:
        """What must be importable here."""
        ...

    @property
    def runtime_modules(self) -> tuple[str, ...]:
        """What running alone imports: an empty runtime, against which memory is measured."""
        ...

    def forms(self, *, can_calibrate: bool) -> tuple[Form, ...]:
        """Return what this runtime runs well, the most promising first, float32 last."""
        ...

    def convert(
        self, model: Model, forms: Sequence[Form], calibration: list[dict[str, NDArray[Any]]], folder: Path
    ) -> None:
        """Write `NUMBER.EXTENSION` for each form, or `NUMBER.error` with the reason. Runs in a process of its own."""
        ...

    def runner(self, path: Path, ports: Sequence[Port]) -> Runner:
        """Return the artifact at `path`, loaded; raises what the runtime raises."""
        ...
