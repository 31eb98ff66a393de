"""Makes what fusions are compared with: `python3 make.py`, with torch and safetensors, in float64.

Each `*.safetensors` holds the parameters (`w.`, by the names that they have in the network), the features (`x.0`, ...),
a `probe`, the `logits`, and the gradients of sum(logits * probe) by parameters (`g.`) and features (`gx.0`, ...); where
there are some, also the logits of each modality alone (`u.0`, ...), extras (`e.`) and buffers, before the pass (`w.`)
and behind it (`b.`).
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import layer_norm, linear, log_softmax, normalize, scaled_dot_product_attention

HERE = Path(__file__).parent
NAMES = ["a", "b", "c"]
CLASSES, BATCH, WIDTH, HEADS, LAYERS = 3, 4, 6, 2, 2
# Width of a frame and number of frames of each modality.
SIZES = [(5, 3), (2, 1), (3, 2)]
# The same where all must be as wide.
EQUAL = [(4, 1)] * 3


def write(path, tensors):
    """Floats as f32."""
    save_file({name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}, path)


class Parameters(dict):
    """Drawn at their first use, as values that f32 holds."""

    def get(self, name, *shape, scale=0.5):
        if name not in self:
            self[name] = (torch.randn(shape) * scale).double().requires_grad_()
        return self[name]

    def buffer(self, name, *shape, scale=0.5):
        if name not in self:
            self[name] = (torch.randn(shape) * scale).double()
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


def frames_of(xs):
    return [x.reshape(len(x), SIZES[m][1], -1) for m, x in enumerate(xs)]


def tokens(p, frames):
    seen = [(f != 0).any(2) for f in frames]
    return [p.linear(f"project.{NAMES[m]}", f, WIDTH) for m, f in enumerate(frames)], seen


def means(streams, seen):
    return [(x * s[:, :, None]).sum(1) / s.sum(1, keepdim=True).clamp(min=1) for x, s in zip(streams, seen)]


def cross_attention(p, frames):
    streams, seen = tokens(p, frames)
    for i in range(LAYERS):
        layer = lambda m: f"layers.{i}.{NAMES[m]}"
        normal = [p.norm(f"{layer(m)}.norm", x) for m, x in enumerate(streams)]
        for m, x in enumerate(streams):
            others = [k for k in range(len(streams)) if k != m]
            of, there = torch.cat([normal[k] for k in others], 1), torch.cat([seen[k] for k in others], 1)
            streams[m] = p.maps(f"{layer(m)}.forward", x + p.attention(f"{layer(m)}.attention", normal[m], of, there))
    return p.linear("head", torch.cat(means(streams, seen), 1), CLASSES)


def bottleneck(p, frames, count=2):
    streams, seen = tokens(p, frames)
    there = torch.stack([s.any(1) for s in seen], 1).double()
    share = there / there.sum(1, keepdim=True).clamp(min=1)
    shared = p.get("bottleneck", 1, count, WIDTH).expand(len(there), -1, -1)
    for i in range(LAYERS):
        left = []
        for m, x in enumerate(streams):
            layer = f"layers.{i}.{NAMES[m]}"
            both = torch.cat([x, shared], 1)
            visible = torch.cat([seen[m], torch.ones(len(there), count, dtype=torch.bool)], 1)
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


def heads(p, xs):
    return [p.linear(f"head.{NAMES[m]}", x, CLASSES) for m, x in enumerate(xs)]


def zeroed(xs, m):
    """Features of which modality m alone is not zeros."""
    return [x if k == m else torch.zeros_like(x) for k, x in enumerate(xs)]


def decision(p, xs, by):
    alone = heads(p, xs)
    log = [log_softmax(y, 1) for y in alone]
    say = {
        "confidence": lambda y: y.exp().max(1).values,
        "entropy": lambda y: (y.exp() * y).sum(1).exp(),
    }[by]
    weights = torch.stack([say(y.detach()) for y in log], 1)
    weights = weights / weights.sum(1, keepdim=True)
    logits = sum(y.exp() * weights[:, m, None] for m, y in enumerate(log)).log()
    return logits, {f"u.{m}": y for m, y in enumerate(alone)} | {"e.weights": weights}


def mmtm(p, xs, squeeze=3):
    def gated(xs):
        z = p.linear("mmtm.squeeze", torch.cat(xs, 1), squeeze).relu()
        return [2 * p.linear(f"mmtm.{NAMES[m]}", z, x.shape[1]).sigmoid() * x for m, x in enumerate(xs)]

    logits = sum(heads(p, gated(xs))) / len(xs)
    return logits, {f"u.{m}": heads(p, gated(zeroed(xs, m)))[m] for m in range(len(xs))}


def pair(fuse):
    """Logits, and those of each of two modalities with the other zeroed."""

    def both(p, xs):
        return fuse(p, *xs)[0], {f"u.{m}": fuse(p, *zeroed(xs, m))[0] for m in range(2)} | fuse(p, *xs)[1]

    return both


@pair
def symmetric_film(p, a, b):
    gamma_a, beta_a = p.linear("film.a", a, 2 * b.shape[1]).chunk(2, 1)
    gamma_b, beta_b = p.linear("film.b", b, 2 * a.shape[1]).chunk(2, 1)
    parts = torch.cat([gamma_b * a + beta_b, gamma_a * b + beta_a], 1)
    return p.linear("head", parts, CLASSES), {"e.parts": parts}


@pair
def symmetric_gated(p, a, b):
    a, b = p.linear("gate.a", a, a.shape[1]), p.linear("gate.b", b, b.shape[1])
    parts = torch.cat([b.sigmoid() * a, a.sigmoid() * b], 1)
    return p.linear("head", parts, CLASSES), {"e.parts": parts}


@pair
def gated_to(p, a, b, width=3):
    return p.linear("head", p.linear("gate.a", a, width).sigmoid() * p.linear("gate.b", b, width), CLASSES), {}


def memory(p, xs, train, hidden=3, tau=0.5):
    order = list(range(len(xs)))[::-1]
    start = p.buffer("memory.start", hidden)
    p["memory.order"], lonely = torch.tensor(order), []

    def align(x, before):
        if not train:
            return before
        cosine = normalize(x.detach(), dim=1) @ normalize(before.detach(), dim=1).T
        kept = cosine * (cosine >= tau)
        alone = kept.sum(1) == 0
        lonely.append(alone)
        return (kept / kept.sum(1, keepdim=True).clamp(min=1e-9) + torch.diag(alone.double())) @ before

    def read(order, start):
        c, h = start.expand(len(xs[0]), -1), torch.zeros(len(xs[0]), hidden, dtype=torch.float64)
        before = None
        for m in order:
            aligned = torch.zeros_like(xs[m]) if before is None else align(xs[m], before)
            f, i, o, g = p.linear("memory.gates", torch.cat([xs[m], aligned, h], 1), 4 * hidden).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            before = xs[m]
        return c, h

    c, h = read(order, start)
    # Some samples have partners, others have none.
    assert not train or 0 < torch.stack(lonely).sum() < torch.stack(lonely).numel()
    logits = p.linear("head", h, CLASSES)
    left = 0.9 * start + 0.1 * c.mean(0) if train else start
    # Single modalities are read from the start as the pass leaves it.
    alone = {f"u.{m}": p.linear("head", read([m], left)[1], CLASSES) for m in range(len(xs))}
    return logits, alone | {"b.memory.start": left}


def case(name, fusion, modalities, sizes=SIZES):
    torch.manual_seed(sum(map(ord, name)) + modalities)
    p = Parameters()
    xs = [torch.randn(BATCH, width * frames).double() for width, frames in sizes[:modalities]]
    # The second sample lacks the first modality, and the third ends with a frame of padding.
    xs[0][1] = 0
    if sizes is SIZES:
        xs[0][2, -SIZES[0][0] :] = 0
    xs = [x.requires_grad_() for x in xs]
    logits, more = fusion(p, xs)
    probe = torch.randn_like(logits).float()
    (logits * probe.double()).sum().backward()
    out = {f"w.{key}": value for key, value in p.items()} | {"probe": probe, "logits": logits} | more
    trained = {key: value for key, value in p.items() if value.requires_grad}
    out |= {f"g.{key}": torch.zeros_like(value) if value.grad is None else value.grad for key, value in trained.items()}
    for m, x in enumerate(xs):
        out |= {f"x.{m}": x, f"gx.{m}": x.grad}
    write(HERE / f"{name}-{modalities}.safetensors", out)


def every():
    for modalities in [2, 3]:
        case("cross-attention", lambda p, xs: (cross_attention(p, frames_of(xs)), {}), modalities)
        case("bottleneck", lambda p, xs: (bottleneck(p, frames_of(xs)), {}), modalities)
        case("tensor", lambda p, xs: (tensor(p, xs), {}), modalities)
        case("low-rank", lambda p, xs: (low_rank(p, xs), {}), modalities)
        for by in ["confidence", "entropy"]:
            case(f"decision-{by}", lambda p, xs: decision(p, xs, by), modalities)
        case("mmtm", mmtm, modalities)
        for name, train in [("memory", False), ("memory-train", True)]:
            case(name, lambda p, xs: memory(p, xs, train), modalities, EQUAL)
    case("symmetric-film", symmetric_film, 2)
    case("symmetric-gated", symmetric_gated, 2, EQUAL)
    case("gated-to", gated_to, 2)


if __name__ == "__main__":
    every()
