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


class BasicBlock(nn.Module):
    def __init__(self, width_in, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or width_in != width:
            self.downsample = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)).add_(shortcut), inplace=True)


class ResNet18(nn.Module):
    """An image [C, H, W], or a video [C, T, H, W] whose frames are averaged."""

    def __init__(self, shape):
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        blocks, width_in = [], 64
        for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            blocks += [BasicBlock(width_in, width, stride), BasicBlock(width, width, 1)]
            width_in = width
        self.blocks = nn.Sequential(*blocks)
        self.width = 512

    def forward(self, x):
        frames = 1
        if x.dim() == 5:
            frames = x.shape[2]
            x = x.transpose(1, 2).flatten(0, 1)
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        x = self.blocks(x).mean((2, 3))
        return x.unflatten(0, (-1, frames)).mean(1) if frames > 1 else x


class VitLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.joined = nn.Linear(width, width)
        self.intermediate, self.output = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        h = self.before(x)
        q, k, v = (f(h).unflatten(2, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        x = x + self.joined(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.output(F.gelu(self.intermediate(self.after(x))))


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
    def __init__(self, encoder, shapes, classes):
        super().__init__()
        self.encoders = nn.ModuleList(encoder(shape) for shape in shapes)
        self.head = nn.Linear(sum(e.width for e in self.encoders), classes)

    def forward(self, inputs):
        return self.head(torch.cat([encoder(x) for encoder, x in zip(self.encoders, inputs)], 1))


# Encoder, shapes of samples, classes, batch, steps.
PRESETS = {
    "resnet18-av": (ResNet18, [(1, 257, 188), (3, 1, 224, 224)], 6, 8, 10),
    "cnn-av": (Cnn, [(1, 32, 16), (6, 26, 52)], 51, 64, 500),
    "mlp-tri": (Mlp, [(100,), (73,), (100,)], 2, 64, 2000),
    "vit-av": (Vit, [(3, 224, 224), (3, 224, 224)], 6, 8, 10),
}


def measure(preset, batch, steps, device, bf16):
    encoder, shapes, classes, default_batch, default_steps = PRESETS[preset]
    batch, steps = batch or default_batch, steps or default_steps
    torch.manual_seed(0)
    net = Concat(encoder, shapes, classes).train().to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    inputs = [torch.randn(batch, *shape, device=device) for shape in shapes]
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
        print("{preset} in PyTorch, batch {batch}, {threads} threads: median {median_ms:.3f} ms, "
              "fastest {min_ms:.3f} ms, at most {peak_rss_mb:.0f} MiB".format(**result))


if __name__ == "__main__":
    main()
