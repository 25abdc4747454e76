"""The steps of a compression pipeline: what may be done to a model, typed. Holds no status and decides nothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from frugal.api.base import ApiModel, Rule

BITS = {"linear": (4, 8), "kmeans": (2, 3, 4, 5, 6, 8), "logarithmic": (4, 5, 6, 8), "nf4": (4,), "float16": (16,),
        "bfloat16": (16,)}  # fmt: skip

Epochs = Annotated[
    float | None,
    Field(
        ge=0,
        le=1000,
        description="Passes over the training data afterwards. Unset: 1 where training data is given, else none.",
    ),
]


class PruneStep(ApiModel):
    """Remove what matters least, then fine-tune where training data is given."""

    kind: Annotated[
        str,
        Field(
            pattern="^(structured|unstructured|semi-structured)$",
            description="structured: whole channels with all that depends on them; "
            "unstructured: single weights; semi-structured: two of each four neighbours (2:4). The last two leave "
            "zeros, which no CPU runtime turns into speed and only a compressed transfer into size.",
        ),
    ] = "structured"
    ratio: Annotated[
        float, Field(gt=0, lt=1, description="Share of the channels or weights to remove; 2:4 is always 0.5.")
    ]
    scope: Annotated[
        str, Field(pattern="^(global|layer)$", description="Whether layers compete, or each loses its share.")
    ] = "global"
    importance: Annotated[
        str,
        Field(
            pattern="^(magnitude|taylor|batchnorm)$",
            description="What the weakest is known by: its weights' size, weight times gradient on training samples, "
            "or the scale of its batch norm (structured).",
        ),
    ] = "magnitude"
    rounds: Annotated[
        int, Field(ge=1, le=20, description="Cuts on the way to the ratio, the epochs divided among them.")
    ] = 1
    epochs: Epochs = None


class QuantizeStep(ApiModel):
    """Store, and where the runtime can also compute, in fewer bits."""

    scheme: Annotated[
        str,
        Field(
            pattern="^(linear|kmeans|logarithmic|nf4|float16|bfloat16)$",
            description="linear: q = round(s*x + z); kmeans, logarithmic and nf4: indices into a codebook, unpacked "
            "at load; float16 and bfloat16.",
        ),
    ] = "linear"
    mode: Annotated[
        str,
        Field(
            pattern="^(static|dynamic|weights|aware)$",
            description="Of linear: static (ranges of activations from calibration samples), dynamic (ranges at run "
            "time), weights (activations stay in float) or aware (trained with the rounding, then static).",
        ),
    ] = "static"
    bits: Annotated[
        int,
        Field(
            ge=2,
            le=16,
            description="linear: 8, with mode weights also 4; kmeans: 2 to 6 or 8; logarithmic: 4 to 6 or 8; nf4: 4; "
            "float16 and bfloat16: 16.",
        ),
    ] = 8
    layers: Annotated[
        str,
        Field(
            pattern="^(all|embeddings|products|recurrent|convolutions)$",
            description="Which layers' weights (mode weights and codebooks).",
        ),
    ] = "all"
    per_channel: Annotated[bool, Field(description="One scale per output channel of the weights (linear).")] = True
    symmetric: Annotated[bool, Field(description="Zero point in the middle (weights of linear).")] = True
    block_size: Annotated[
        int,
        Field(
            ge=16, le=256, multiple_of=16, description="Weights that share a scale (4-bit linear, nf4); 16, 32, 64..."
        ),
    ] = 32
    calibrate: Annotated[
        str,
        Field(
            pattern="^(minmax|entropy|percentile|mse)$",
            description="How ranges are chosen; mse takes the one with the least squared error (linear).",
        ),
    ] = "minmax"
    keep: Annotated[
        int,
        Field(ge=0, le=1000, description="So many of the layers that suffer most stay as they are (mixed precision)."),
    ] = 0
    epochs: Epochs = None
    RULES = (
        Rule(
            cel="(!has(self.scheme) || self.scheme == 'linear') ? (!has(self.bits) || self.bits == 8 || "
            "(self.bits == 4 && has(self.mode) && self.mode == 'weights'))"
            " : self.scheme in ['float16', 'bfloat16'] ? (has(self.bits) && self.bits == 16)"
            " : self.scheme == 'nf4' ? (has(self.bits) && self.bits == 4)"
            " : self.scheme == 'kmeans' ? (!has(self.bits) || self.bits in [2, 3, 4, 5, 6, 8])"
            " : (!has(self.bits) || self.bits in [4, 5, 6, 8])",
            check=lambda self: (
                (self.bits in BITS[self.scheme] and (self.bits, self.scheme) != (4, "linear"))
                or (self.bits, self.scheme, self.mode) == (4, "linear", "weights")
            ),
            field="bits",
            message="linear takes bits: 8 (with mode: weights also 4), kmeans 2 to 6 or 8, logarithmic 4 to 6 or 8, "
            "nf4 takes 4, float16 and bfloat16 take bits: 16",
        ),
        Rule(
            cel="!has(self.scheme) || self.scheme == 'linear' || !has(self.mode) || self.mode == 'static'",
            check=lambda self: self.scheme == "linear" or self.mode == "static",
            field="mode",
            message="only scheme: linear has modes",
        ),
    )


class DistillStep(ApiModel):
    """Train a smaller network of the same kind on the original's outputs; needs training data, labels or not."""

    width: Annotated[float, Field(gt=0, le=1, description="Share of each hidden layer's width that the student has.")]
    depth: Annotated[
        float, Field(gt=0, le=1, description="Share of the repeated blocks or stacked layers that the student has.")
    ] = 1.0
    temperature: Annotated[float, Field(ge=1, le=20, description="Softens both outputs (classification).")] = 2.0
    label_share: Annotated[
        float, Field(ge=0, le=1, description="Weight of the labels' loss; the teacher has the rest.")
    ] = 0.5
    features: Annotated[
        str,
        Field(
            pattern="^(none|hints|attention)$",
            description="Intermediate layers matched beside the outputs: hints (through learnt projections) or "
            "attention (maps of where activations are large).",
        ),
    ] = "none"
    epochs: Epochs = None


class Step(ApiModel):
    """One step of a pipeline: exactly one of its fields."""

    prune: Annotated[PruneStep | None, Field(description="Pruning.")] = None
    quantize: Annotated[QuantizeStep | None, Field(description="Quantization.")] = None
    distill: Annotated[DistillStep | None, Field(description="Distillation into a smaller student.")] = None
    RULES = (
        Rule(
            cel="[has(self.prune), has(self.quantize), has(self.distill)].filter(x, x).size() == 1",
            check=lambda self: sum(part is not None for part in (self.prune, self.quantize, self.distill)) == 1,
            field="",
            message="a step is exactly one of prune, quantize and distill",
        ),
    )

    @property
    def must_train(self) -> bool:
        """Whether the step cannot do what it says without training data."""
        if self.distill is not None:
            return True
        if self.quantize is not None:
            return self.quantize.mode == "aware"
        assert self.prune is not None
        return (self.prune.epochs or 0) > 0 or self.prune.importance == "taylor"
