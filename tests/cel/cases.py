"""Good and bad objects, one line each, and what must be said of the bad ones. Both checkers get every one of them."""

import copy
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]

JOB: Manifest = {
    "model": {"uri": "pvc://models/cnn.onnx"},
    "data": {"evaluation": {"uri": "pvc://data/test.npz"}},
    "output": {"uri": "pvc://models/out"},
}
DEPLOYMENT: Manifest = {"model": {"uri": "pvc://models/cnn.onnx"}}
ADOPTED: Manifest = {"model": None, "targetRef": {"name": "existing"}}
TRAINING = {"training": {"uri": "pvc://data/train.npz"}}
POD = {"spec": {"containers": [{"name": "server", "image": "example.com/server:1"}]}}


@dataclass(frozen=True, slots=True)
class Case:
    """One object.

    changes: merged over the smallest good spec of its kind; None removes a field.
    fault: words that both checkers' messages hold; empty for a good object.
    object_name: its name in the API; by default made from `name`.
    """

    name: str
    kind: str
    changes: Manifest
    fault: str = ""
    object_name: str = ""

    @property
    def manifest(self) -> Manifest:
        base = JOB if self.kind == "CompressionJob" else DEPLOYMENT
        return {
            "apiVersion": "frugal.dev/v1alpha1",
            "kind": self.kind,
            "metadata": {"name": self.object_name or self.name.replace(" ", "-"), "namespace": "default"},
            "spec": merged(base, self.changes),
        }


def merged(base: Manifest, changes: Manifest) -> Manifest:
    """Return `base` with `changes` merged over it, maps by key; None removes."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def job(name: str, changes: Manifest, fault: str = "") -> Case:
    return Case(name, "CompressionJob", changes, fault)


def idep(name: str, changes: Manifest, fault: str = "") -> Case:
    return Case(name, "InferenceDeployment", changes, fault)


def pipeline(*steps: Manifest) -> Manifest:
    return {"strategy": {"mode": "Pipeline", "pipeline": list(steps)}}


CASES = (
    job("smallest job", {}),
    idep("smallest deployment", {}),
    # names become labels and a Service's name
    Case("longest job name", "CompressionJob", {}, object_name="0." + "x" * 61),
    Case("job name too long", "CompressionJob", {}, "at most 63 characters", "x" * 64),
    Case("longest deployment name", "InferenceDeployment", {}, object_name="x" * 63),
    Case("deployment name too long", "InferenceDeployment", {}, "at most 63 of a-z", "x" * 64),
    Case("deployment name with a dot", "InferenceDeployment", {}, "at most 63 of a-z", "a.b"),
    Case("deployment name with a digit first", "InferenceDeployment", {}, "at most 63 of a-z", "1a"),
    # a factory is only for format: torch or safetensors
    job("torch with factory", {"model": {"format": "torch", "factory": "package.module:make"}}),
    job("no factory said", {"model": {"factory": ""}}),
    job(
        "onnx with factory",
        {"model": {"format": "onnx", "factory": "package.module:make"}},
        "a factory is only for format: torch or safetensors",
    ),
    job(
        "default format with factory",
        {"model": {"factory": "package.module:make"}},
        "a factory is only for format: torch or safetensors",
    ),
    # the keys and weights of the cost
    job("one weight", {"objective": {"cost": {"size": 1}}}),
    job("one weight of zero beside another", {"objective": {"cost": {"size": 0, "price": 0.5}}}),
    job("weights of zero", {"objective": {"cost": {"size": 0}}}, "at least one cost needs a weight above 0"),
    job("unknown cost", {"objective": {"cost": {"beauty": 1}}}, "objective.cost"),
    job("longest input name", {"model": {"inputs": {"x" * 128: {"shape": [-1, 784]}}}}),
    job("input name too long", {"model": {"inputs": {"x" * 129: {"shape": [-1, 784]}}}}, "at most 128 characters"),
    job("longest resource name", {"resources": {"requests": {"x" * 253: 1}}}),
    job("resource name too long", {"resources": {"requests": {"x" * 254: 1}}}, "at most 253 characters"),
    # bits fit the scheme
    job("linear in 8 bits", pipeline({"quantize": {"scheme": "linear", "bits": 8}})),
    job("linear by default", pipeline({"quantize": {}})),
    job("float16 in 16 bits", pipeline({"quantize": {"scheme": "float16", "bits": 16}})),
    job(
        "linear in 16 bits",
        pipeline({"quantize": {"bits": 16}}),
        "linear takes bits: 8 (with mode: weights also 4)",
    ),
    job(
        "float16 in 8 bits",
        pipeline({"quantize": {"scheme": "float16", "bits": 8}}),
        "linear takes bits: 8 (with mode: weights also 4)",
    ),
    job(
        "float16 in default bits",
        pipeline({"quantize": {"scheme": "float16"}}),
        "linear takes bits: 8 (with mode: weights also 4)",
    ),
    job("linear weights in 4 bits", pipeline({"quantize": {"bits": 4, "mode": "weights"}})),
    job("linear activations in 4 bits", pipeline({"quantize": {"bits": 4}}), "with mode: weights also 4"),
    job("a codebook of 32 entries", pipeline({"quantize": {"scheme": "kmeans", "bits": 5}})),
    job("a codebook of 128 entries", pipeline({"quantize": {"scheme": "kmeans", "bits": 7}}), "kmeans 2 to 6 or 8"),
    job("nf4 in 4 bits", pipeline({"quantize": {"scheme": "nf4", "bits": 4}})),
    job(
        "a codebook with a mode",
        pipeline({"quantize": {"scheme": "nf4", "bits": 4, "mode": "dynamic"}}),
        "only scheme: linear has modes",
    ),
    job("distilling from no data", pipeline({"distill": {"width": 0.5}}), "a step that trains"),
    job("quantization-aware training from no data", pipeline({"quantize": {"mode": "aware"}}), "a step that trains"),
    job("gradients from no data", pipeline({"prune": {"ratio": 0.5, "importance": "taylor"}}), "a step that trains"),
    # a step is one thing
    job(
        "two things in one step",
        pipeline({"prune": {"ratio": 0.5}, "quantize": {}}),
        "a step is exactly one of prune, quantize and distill",
    ),
    job("nothing in a step", pipeline({}), "a step is exactly one of prune, quantize and distill"),
    # mode and pipeline
    job("two steps", pipeline({"prune": {"ratio": 0.5}}, {"quantize": {}})),
    job("automatic with no step", {"strategy": {"mode": "Auto", "pipeline": []}}),
    job(
        "steps in automatic mode",
        {"strategy": {"pipeline": [{"quantize": {}}]}},
        "mode: Pipeline needs at least one step",
    ),
    job("pipeline of nothing", {"strategy": {"mode": "Pipeline"}}, "mode: Pipeline needs at least one step"),
    # epochs need training data
    job("epochs with training", {"data": TRAINING} | pipeline({"prune": {"ratio": 0.5, "epochs": 2}})),
    job("no epochs without training", pipeline({"prune": {"ratio": 0.5, "epochs": 0}})),
    job(
        "epochs without training",
        pipeline({"prune": {"ratio": 0.5, "epochs": 2}}),
        "a step that trains",
    ),
    # whose load
    job("load by reference", {"costBenefit": {"inferenceDeploymentRef": {"name": "fashion"}}}),
    job("load by rate", {"costBenefit": {"requestsPerSecond": 12.5}}),
    job(
        "load twice",
        {"costBenefit": {"inferenceDeploymentRef": {"name": "fashion"}, "requestsPerSecond": 1}},
        "give inferenceDeploymentRef or requestsPerSecond, not both",
    ),
    # which model
    idep("model by reference", {"model": {"uri": None, "compressionJobRef": {"name": "fashion-cnn"}}}),
    idep("model with digest", {"model": {"sha256": "0" * 64}}),
    idep(
        "model twice",
        {"model": {"compressionJobRef": {"name": "fashion-cnn"}}},
        "give exactly one of uri and compressionJobRef",
    ),
    idep("model nowhere", {"model": {"uri": None}}, "give exactly one of uri and compressionJobRef"),
    idep(
        "digest of a reference",
        {"model": {"uri": None, "compressionJobRef": {"name": "fashion-cnn"}, "sha256": "0" * 64}},
        "sha256 belongs to uri",
    ),
    # model or adopted workload
    idep("adopted", ADOPTED),
    idep("model and adopted", {"targetRef": {"name": "existing"}}, "give exactly one of model and targetRef"),
    idep("neither model nor adopted", {"model": None}, "give exactly one of model and targetRef"),
    # replicas
    idep("replicas in order", {"replicas": {"min": 2, "max": 2}}),
    idep("scale to zero", {"replicas": {"min": 0}}),
    idep("more at least than at most", {"replicas": {"min": 3, "max": 2}}, "replicas.min may not be more"),
    idep("more at least than the default", {"replicas": {"min": 11}}, "replicas.min may not be more"),
    idep("external scaler", {"replicas": {"desired": 2}, "rightSizing": {"scaling": "External"}}),
    idep("desired without external scaler", {"replicas": {"desired": 2}}, "replicas.desired is for"),
    idep(
        "desired with our scaling",
        {"replicas": {"desired": 2}, "rightSizing": {"scaling": "Frugal"}},
        "replicas.desired is for",
    ),
    # rollout
    idep("one step", {"rollout": {"steps": [100]}}),
    idep("unfinished rollout", {"rollout": {"steps": [5, 50]}}, "the last step must be 100"),
    # another runtime brings its container
    idep("triton with its container", {"runtime": {"name": "triton", "podTemplate": POD}}),
    idep("our runtime with a template", {"runtime": {"podTemplate": {"spec": {"priorityClassName": "low"}}}}),
    idep("triton alone", {"runtime": {"name": "triton"}}, "a runtime other than onnxruntime brings its container"),
    idep(
        "triton with no container",
        {"runtime": {"name": "triton", "podTemplate": {"spec": {"containers": []}}}},
        "a runtime other than onnxruntime brings its container",
    ),
    # metrics of a runtime that its user describes
    idep("declared metrics", {"runtime": {"metrics": {"requests": "a_total", "failures": "b_total"}}}),
    idep(
        "one counter for two things",
        {"runtime": {"metrics": {"requests": "a_total", "failures": "a_total"}}},
        "failures is a counter of its own",
    ),
    idep("a query for a metric", {"runtime": {"metrics": {"requests": "sum(a_total)"}}}, "requests"),
    # what the schema alone refuses
    job("text for a number", {"objective": {"maxLoss": "0.5"}}, "maxLoss"),
    job("text for a truth", {"suspend": "true"}, "suspend"),
    job("a number for a duration", {"strategy": {"search": {"timeout": 30}}}, "timeout"),
    job("a duration without unit", {"strategy": {"search": {"timeout": "30"}}}, "timeout"),
    job("a size in another unit", {"objective": {"limits": {"size": "4MB"}}}, "size"),
    job("a whole number of bytes", {"objective": {"limits": {"size": 4194304}}}),
    job("a quantity with a fraction", {"objective": {"limits": {"size": 0.5}}}, "size"),
    job("too much loss", {"objective": {"maxLoss": 101}}, "maxLoss"),
    job("certainty", {"objective": {"confidence": 1}}, "confidence"),
    job("worthless loss", {"objective": {"lambda": 0}}, "lambda"),
    job("a metric by entry point", {"objective": {"metric": "package.module:score"}}),
    job("unknown metric", {"objective": {"metric": "beauty"}}, "metric"),
    job("no metric", {"objective": {"metric": ""}}, "metric"),
    job("credentials in a URI", {"model": {"uri": "https://user:word@example.com/cnn.onnx"}}, "uri"),
    job("another scheme", {"model": {"uri": "ftp://example.com/cnn.onnx"}}, "uri"),
    job("no evaluation", {"data": {"evaluation": None}}, "evaluation"),
    job("no model", {"model": None}, "model"),
    job("money as a number", {"costBenefit": {"labourRate": 60}}, "labourRate"),
    job("money as text", {"costBenefit": {"labourRate": "60.25"}}),
    job("money with an exponent", {"costBenefit": {"labourRate": "6e1"}}, "labourRate"),
    job("a digest in capitals", {"model": {"sha256": "A" * 64}}, "sha256"),
    job("too many targets", {"targets": [{}] * 9}, "targets"),
    job("no target", {"targets": []}, "targets"),
    job("never clean up", {"ttlSecondsAfterFinished": 0}),
    job("a template that is no map", {"podTemplate": {"spec": "fast"}}, "podTemplate"),
    job("a container without a name", {"podTemplate": {"spec": {"containers": [{"image": "a"}]}}}, "podTemplate"),
    idep("a change window", {"rightSizing": {"changeWindows": ["Mon-Fri 02:00-05:00 UTC"]}}),
    idep("an unreadable change window", {"rightSizing": {"changeWindows": ["at night"]}}, "changeWindows"),
    idep("a port of zero", {"service": {"port": 0}}, "port"),
    idep("an unknown mode", {"rightSizing": {"mode": "Always"}}, "mode"),
    idep("a currency in words", {"budget": {"monthly": "500", "currency": "dollars"}}, "currency"),
)
