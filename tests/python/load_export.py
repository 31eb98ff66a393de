#!/usr/bin/env python3
"""Loads an exported network into plain PyTorch and compares its answers with those of `predict`.

    python3 tests/python/load_export.py EXPORT INPUTS.safetensors PREDICTIONS.csv

EXPORT is a folder that `export` made of a network with encoders `mlp` or `cnn` and the fusion `concat`; INPUTS holds
`x.<modality>`, and PREDICTIONS is what `predict` wrote for it. The names in the file are those of the modules below, so
that `load_state_dict` takes them as they are.
"""

import csv
import json
import pathlib
import sys

import torch
from torch import nn

TYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "U32": torch.int32}


def load(path):
    """Tensors of a safetensors file: eight bytes with the length of a JSON header, the header, the data."""
    data = pathlib.Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)

    def tensor(about):
        begin, end = about["data_offsets"]
        values = torch.frombuffer(bytearray(data[start + begin : start + end]), dtype=TYPES[about["dtype"]])
        return values.reshape(about["shape"])

    return {name: tensor(about) for name, about in header.items()}


def block(weights, prefix):
    """A block of an encoder, by the shapes of its weights."""
    if f"{prefix}.weight" in weights:
        outputs, inputs = weights[f"{prefix}.weight"].shape
        return nn.Linear(inputs, outputs)
    shape = weights[f"{prefix}.conv.weight"].shape
    if len(shape) == 4:
        conv, norm = nn.Conv2d(shape[1], shape[0], 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(shape[0])
    else:
        conv, norm = nn.Conv1d(shape[1], shape[0], 5, stride=2, padding=2, bias=False), nn.BatchNorm1d(shape[0])
    return nn.ModuleDict({"conv": conv, "bn": norm})


class Encoder(nn.Module):
    def __init__(self, weights, name):
        super().__init__()
        prefix = f"encoders.{name}.blocks."
        depth = 1 + max(int(key[len(prefix) :].split(".")[0]) for key in weights if key.startswith(prefix))
        self.blocks = nn.ModuleList(block(weights, f"{prefix}{d}") for d in range(depth))

    def forward(self, x):
        dense = isinstance(self.blocks[0], nn.Linear)
        x = x.flatten(1) if dense else x.unsqueeze(1) if x.dim() == 2 else x
        for layer in self.blocks:
            x = torch.relu(layer(x) if dense else layer["bn"](layer["conv"](x)))
        return x if dense else x.flatten(2).mean(2)


class LateFusion(nn.Module):
    def __init__(self, weights, modalities):
        super().__init__()
        self.modalities = modalities
        self.encoders = nn.ModuleDict({name: Encoder(weights, name) for name in modalities})
        outputs, inputs = weights["head.weight"].shape
        self.head = nn.Linear(inputs, outputs)

    def forward(self, inputs):
        """Fused logits, and those of each modality: its columns of the head and an equal share of the bias."""
        features = [self.encoders[name](inputs[name]) for name in self.modalities]
        columns = self.head.weight.split([feature.shape[1] for feature in features], dim=1)
        share = self.head.bias / len(features)
        own = [feature @ column.T + share for feature, column in zip(features, columns)]
        return self.head(torch.cat(features, 1)), own


def main(export, inputs, predictions):
    export = pathlib.Path(export)
    weights = load(export / "weights.safetensors")
    about = json.loads((export / "preprocessing.json").read_text())
    modalities = [modality["name"] for modality in about["modalities"]]
    network = LateFusion(weights, modalities).eval()
    lacks = network.load_state_dict(weights, strict=False)
    counters = [name for name in lacks.missing_keys if not name.endswith("num_batches_tracked")]
    assert not counters and not lacks.unexpected_keys, lacks

    tensors = load(inputs)
    with torch.no_grad():
        fused, own = network({name: tensors[f"x.{name}"].float() for name in modalities})
    heads = [("probability.", fused)] + [(f"{name}.probability.", own) for name, own in zip(modalities, own)]
    with open(predictions, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(fused), "as many rows as samples"
    largest = 0.0
    for prefix, logits in heads:
        columns = [prefix + name for name in about["class_names"]]
        want = torch.tensor([[float(row[column]) for column in columns] for row in rows])
        largest = max(largest, (torch.softmax(logits, 1) - want).abs().max().item())
    said = [about["class_names"][k] for k in fused.argmax(1)]
    assert said == [row["predicted"] for row in rows], "the same classes"
    assert largest < 1e-5, f"probabilities differ by up to {largest}"
    print(f"{len(rows)} samples, probabilities differ by at most {largest:.1e}")


if __name__ == "__main__":
    main(*sys.argv[1:])
