#!/usr/bin/env python3
"""Times the presets of `cargo xtask bench step` in PyTorch: the same networks, shapes and optimizer.

    python benches/pytorch.py --preset cnn-av --threads 2 --json

Needs torch==2.13.0 and nothing else. One step is: zero, forward, backward, update, as a user of PyTorch writes it.
"""

import argparse
import json
import os
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F


class Mlp(nn.Module):
    def __init__(self, shape, widths=(256, 256, 256)):
        super().__init__()
        ins = (shape[0], *widths[:-1])
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip(ins, widths))
        self.width = widths[-1]

    def forward(self, x):
        for layer in self.layers:
            x = F.relu(layer(x))
        return x


class Cnn(nn.Module):
    def __init__(self, shape, widths=(16, 32, 64)):
        super().__init__()
        ins = (shape[0], *widths[:-1])
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, 2, 1, bias=False) for i, o in zip(ins, widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in widths)
        self.width = widths[-1]

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms):
            x = F.relu(norm(conv(x)))
        return x.mean((2, 3))


def conv_norm(width_in, width, kernel, stride=1):
    return nn.Sequential(nn.Conv2d(width_in, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width))


class Block(nn.Module):
    """A residual block: convolutions that each have a norm, beside a shortcut."""

    def __init__(self, width_in, width_out, stride, convs):
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.downsample = None
        if stride != 1 or width_in != width_out:
            self.downsample = conv_norm(width_in, width_out, 1, stride)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        for conv in self.convs[:-1]:
            x = F.relu(conv(x), inplace=True)
        return F.relu(self.convs[-1](x).add_(shortcut), inplace=True)


def basic(width_in, width, stride):
    return Block(width_in, width, stride, [conv_norm(width_in, width, 3, stride), conv_norm(width, width, 3)])


def bottleneck(width_in, width, stride):
    convs = [conv_norm(width_in, width, 1), conv_norm(width, width, 3, stride), conv_norm(width, 4 * width, 1)]
    return Block(width_in, 4 * width, stride, convs)


class ResNet(nn.Module):
    """An image [C, H, W], or a video [C, T, H, W] whose frames are averaged."""

    def __init__(self, shape, block, expansion, layers):
        super().__init__()
        self.stem = conv_norm(shape[0], 64, 7, 2)
        blocks, width_in = [], 64
        for stage, count in enumerate(layers):
            width = 64 << stage
            for i in range(count):
                blocks.append(block(width_in, width, 2 if i == 0 and stage > 0 else 1))
                width_in = expansion * width
        self.blocks = nn.Sequential(*blocks)
        self.width = width_in

    def forward(self, x):
        frames = 1
        if x.dim() == 5:
            frames = x.shape[2]
            x = x.transpose(1, 2).flatten(0, 1)
        x = F.max_pool2d(F.relu(self.stem(x), inplace=True), 3, 2, 1)
        x = self.blocks(x).mean((2, 3))
        return x.unflatten(0, (-1, frames)).mean(1) if frames > 1 else x


def resnet18(shape):
    return ResNet(shape, basic, 1, (2, 2, 2, 2))


def resnet50(shape):
    return ResNet(shape, bottleneck, 4, (3, 4, 6, 3))


class Layer(nn.Module):
    """Attention and two linear maps that widen in between."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.joined = nn.Linear(width, width)
        self.intermediate, self.output = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x, seen=None):
        q, k, v = (f(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        return self.joined(F.scaled_dot_product_attention(q, k, v, seen).transpose(1, 2).flatten(2))

    def widen(self, x):
        return self.output(F.gelu(self.intermediate(x)))


class VitLayer(Layer):
    def forward(self, x):
        x = x + self.attend(self.first(x))
        return x + self.widen(self.second(x))


class BertLayer(Layer):
    def __init__(self, width, heads, dropout):
        super().__init__(width, heads)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, seen):
        x = self.first(x + self.dropout(self.attend(x, seen)))
        return self.second(x + self.dropout(self.widen(x)))


class Bert(nn.Module):
    """Ids of words, 0 is padding; the mean of the tokens. The sizes are those of MiniLM-L6."""

    words = 30522

    def __init__(self, shape, width=384, layers=6, heads=12, dropout=0.1):
        super().__init__()
        self.word, self.position, self.kind = (nn.Embedding(rows, width) for rows in (self.words, 512, 2))
        for table in (self.word, self.position, self.kind):
            nn.init.normal_(table.weight, std=0.02)
        self.norm, self.dropout = nn.LayerNorm(width, eps=1e-12), nn.Dropout(dropout)
        self.layers = nn.ModuleList(BertLayer(width, heads, dropout) for _ in range(layers))
        self.width = width

    def forward(self, ids):
        seen = ids != 0
        x = self.word(ids) + self.position.weight[: ids.shape[1]] + self.kind.weight[0]
        x = self.dropout(self.norm(x))
        for layer in self.layers:
            x = layer(x, seen[:, None, None])
        shares = seen[:, :, None] / seen.sum(1)[:, None, None]
        return (x * shares).sum(1)


class Vit(nn.Module):
    def __init__(self, shape, patch=16, width=192, layers=12, heads=3):
        super().__init__()
        tokens = (shape[1] // patch) * (shape[2] // patch)
        self.patches = nn.Conv2d(shape[0], width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, tokens + 1, width) * 0.02)
        self.layers = nn.Sequential(*(VitLayer(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.width = width

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(len(x), -1, -1), x), 1) + self.positions
        return self.norm(self.layers(x))[:, 0]


class Concat(nn.Module):
    def __init__(self, modalities, classes):
        super().__init__()
        self.encoders = nn.ModuleList(encoder(shape) for encoder, shape in modalities)
        self.head = nn.Linear(sum(e.width for e in self.encoders), classes)

    def forward(self, inputs):
        return self.head(torch.cat([encoder(x) for encoder, x in zip(self.encoders, inputs)], 1))


# Encoders with the shapes of their samples, classes, batch, steps.
PRESETS = {
    "resnet18-av": ([(resnet18, (1, 257, 188)), (resnet18, (3, 1, 224, 224))], 6, 8, 10),
    "cnn-av": ([(Cnn, (1, 32, 16)), (Cnn, (6, 26, 52))], 51, 64, 500),
    "mlp-tri": ([(Mlp, (100,)), (Mlp, (73,)), (Mlp, (100,))], 2, 64, 2000),
    "vit-av": ([(Vit, (3, 224, 224)), (Vit, (3, 224, 224))], 6, 8, 10),
    "bert-vit": ([(Bert, (32,)), (Vit, (3, 224, 224))], 6, 8, 20),
    "resnet50-av": ([(resnet50, (1, 257, 188)), (resnet50, (3, 1, 224, 224))], 6, 8, 5),
}


def random(encoder, shape, device):
    if encoder is Bert:
        return torch.randint(1, Bert.words, shape, device=device)
    return torch.randn(shape, device=device)


def measure(preset, batch, steps, device, bf16):
    modalities, classes, default_batch, default_steps = PRESETS[preset]
    batch, steps = batch or default_batch, steps or default_steps
    torch.manual_seed(0)
    net = Concat(modalities, classes).train().to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    inputs = [random(encoder, (batch, *shape), device) for encoder, shape in modalities]
    labels = torch.randint(classes, (batch,), device=device)
    finish = torch.cuda.synchronize if device == "cuda" else lambda: None
    times, warmup = [], 2 + steps // 10
    for _ in range(warmup + steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        finish()
        times.append(1e3 * (time.perf_counter() - start))
    times = times[warmup:]
    return {
        "preset": preset,
        "batch": batch,
        "method": "joint",
        "parameters": sum(p.numel() for p in net.parameters()),
        "median_ms": statistics.median(times),
        "min_ms": min(times),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "threads": torch.get_num_threads(),
    }


def main():
    parser = argparse.ArgumentParser(description="Times training steps in PyTorch.")
    parser.add_argument("--preset", required=True, choices=PRESETS)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], default="f32")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision != "f32"
    result = measure(args.preset, args.batch, args.steps, args.device, args.precision == "bf16")
    if args.json:
        print(json.dumps(result))
    else:
        print("{preset} in PyTorch, {parameters} parameters, batch {batch}, {threads} threads: median {median_ms:.3f} ms, "
              "fastest {min_ms:.3f} ms, at most {peak_rss_mb:.0f} MiB".format(**result))


if __name__ == "__main__":
    main()
