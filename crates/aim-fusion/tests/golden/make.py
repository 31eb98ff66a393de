"""Makes what fusions are compared with: `python3 make.py`, with torch and safetensors, in float64.

Each `*.safetensors` holds the parameters (`w.`, by the names that they have in the network), the features (`x.0`, ...),
a `probe`, the `logits`, and the gradients of sum(logits * probe) by parameters (`g.`) and features (`gx.0`, ...).
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

HERE = Path(__file__).parent
NAMES = ["a", "b", "c"]
CLASSES, BATCH, WIDTH, HEADS, LAYERS = 3, 4, 6, 2, 2
# Width of a frame and number of frames of each modality.
SIZES = [(5, 3), (2, 1), (3, 2)]


def write(path, tensors):
    """Floats as f32."""
    save_file({name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}, path)


class Parameters(dict):
    """Drawn at their first use, as values that f32 holds."""

    def get(self, name, *shape, scale=0.5):
        if name not in self:
            self[name] = (torch.randn(shape) * scale).double().requires_grad_()
        return self[name]

    def linear(self, name, x, width, bias=True):
        weight = self.get(f"{name}.weight", width, x.shape[-1])
        return linear(x, weight, self.get(f"{name}.bias", width) if bias else None)

    def norm(self, name, x):
        width = x.shape[-1]
        return layer_norm(x, (width,), self.get(f"{name}.weight", width), self.get(f"{name}.bias", width), 1e-5)

    def attention(self, name, x, of, seen):
        split = lambda part, t: self.linear(f"{name}.{part}", t, WIDTH).unflatten(2, (HEADS, -1)).transpose(1, 2)
        out = []
        for i in range(len(x)):
            # Each sample sees the tokens that it has, and nothing if there is none.
            keys = of[i : i + 1, seen[i]]
            q, k, v = split("query", x[i : i + 1]), split("key", keys), split("value", keys)
            if keys.shape[1] == 0:
                out.append(torch.zeros_like(x[i : i + 1]))
            else:
                y = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
                out.append(self.linear(f"{name}.out", y, WIDTH))
        return torch.cat(out)

    def maps(self, name, x):
        y = self.linear(f"{name}.0", self.norm(f"{name}.norm", x), 4 * WIDTH).relu()
        return x + self.linear(f"{name}.1", y, WIDTH)


def tokens(p, xs):
    frames = [x.reshape(BATCH, SIZES[m][1], -1) for m, x in enumerate(xs)]
    seen = [(f != 0).any(2) for f in frames]
    return [p.linear(f"project.{NAMES[m]}", f, WIDTH) for m, f in enumerate(frames)], seen


def means(streams, seen):
    return [(x * s[:, :, None]).sum(1) / s.sum(1, keepdim=True).clamp(min=1) for x, s in zip(streams, seen)]


def cross_attention(p, xs):
    streams, seen = tokens(p, xs)
    for i in range(LAYERS):
        layer = lambda m: f"layers.{i}.{NAMES[m]}"
        normal = [p.norm(f"{layer(m)}.norm", x) for m, x in enumerate(streams)]
        for m, x in enumerate(streams):
            others = [k for k in range(len(xs)) if k != m]
            of, there = torch.cat([normal[k] for k in others], 1), torch.cat([seen[k] for k in others], 1)
            streams[m] = p.maps(f"{layer(m)}.forward", x + p.attention(f"{layer(m)}.attention", normal[m], of, there))
    return p.linear("head", torch.cat(means(streams, seen), 1), CLASSES)


def bottleneck(p, xs, count=2):
    streams, seen = tokens(p, xs)
    there = torch.stack([s.any(1) for s in seen], 1).double()
    share = there / there.sum(1, keepdim=True).clamp(min=1)
    shared = p.get("bottleneck", 1, count, WIDTH).expand(BATCH, -1, -1)
    for i in range(LAYERS):
        left = []
        for m, x in enumerate(streams):
            layer = f"layers.{i}.{NAMES[m]}"
            both = torch.cat([x, shared], 1)
            visible = torch.cat([seen[m], torch.ones(BATCH, count, dtype=torch.bool)], 1)
            normal = p.norm(f"{layer}.norm", both)
            both = p.maps(f"{layer}.forward", both + p.attention(f"{layer}.attention", normal, normal, visible))
            streams[m] = both[:, : x.shape[1]]
            left.append(both[:, x.shape[1] :] * share[:, m, None, None])
        shared = sum(left)
    heads = [p.linear(f"head.{NAMES[m]}", y, CLASSES) for m, y in enumerate(means(streams, seen))]
    return sum(y * share[:, m, None] for m, y in enumerate(heads))


def tensor(p, xs, width=2):
    products = torch.ones(BATCH, 1, dtype=torch.float64)
    for m, x in enumerate(xs):
        z = p.linear(f"tensor.{NAMES[m]}", x, width, bias=False)
        z = torch.cat([z, torch.ones(BATCH, 1, dtype=torch.float64)], 1)
        products = torch.einsum("bi,bj->bij", products, z).flatten(1)
    return p.linear("head", products, CLASSES)


def low_rank(p, xs, rank=3, width=4):
    product = 1
    for m, x in enumerate(xs):
        product = product * p.linear(f"factors.{NAMES[m]}", x, rank * width).reshape(BATCH, rank, width)
    weights = p.get("factors.weights", 1, rank)
    return p.linear("head", (product * weights.reshape(1, rank, 1)).sum(1), CLASSES)


def case(name, fusion, modalities):
    torch.manual_seed(sum(map(ord, name)) + modalities)
    p = Parameters()
    xs = [torch.randn(BATCH, width * frames).double() for width, frames in SIZES[:modalities]]
    # The second sample lacks the first modality, and the third ends with a frame of padding.
    xs[0][1], xs[0][2, -SIZES[0][0] :] = 0, 0
    xs = [x.requires_grad_() for x in xs]
    logits = fusion(p, xs)
    probe = torch.randn_like(logits).float()
    (logits * probe.double()).sum().backward()
    out = {f"w.{key}": value for key, value in p.items()} | {"probe": probe, "logits": logits}
    out |= {f"g.{key}": torch.zeros_like(value) if value.grad is None else value.grad for key, value in p.items()}
    for m, x in enumerate(xs):
        out |= {f"x.{m}": x, f"gx.{m}": x.grad}
    write(HERE / f"{name}-{modalities}.safetensors", out)


for name, fusion in [
    ("cross-attention", cross_attention),
    ("bottleneck", bottleneck),
    ("tensor", tensor),
    ("low-rank", low_rank),
]:
    for modalities in [2, 3]:
        case(name, fusion, modalities)
