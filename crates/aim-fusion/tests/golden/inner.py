"""Makes what networks are compared with whose encoders meet between blocks: `python3 inner.py`, with torch and
safetensors, in float64.

Each `inner-*.safetensors` holds the parameters and running statistics (`w.`, by their names in the network), the inputs
(`x.0`, ...), which sample has what (`present`), a `probe`, the `logits`, and the gradients of sum(logits * probe) by
parameters (`g.`).
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = Path(__file__).parent
NAMES = ["a", "b", "c"]
CLASSES, BATCH = 3, 5
# The second sample lacks the first modality, the third the last one, and the fifth all but the second.
PRESENT = torch.tensor([[1, 1, 1], [0, 1, 1], [1, 1, 0], [1, 1, 1], [0, 1, 0]]).double()


class Parameters(dict):
    """Drawn at their first use, as values that f32 holds."""

    def get(self, name, *shape, scale=0.5, shift=0.0, trained=True):
        if name not in self:
            value = (torch.randn(shape) * scale + shift).double()
            self[name] = value.requires_grad_() if trained else value
        return self[name]

    def linear(self, name, x, width):
        return F.linear(x, self.get(f"{name}.weight", width, x.shape[-1]), self.get(f"{name}.bias", width))

    def norm(self, name, x):
        width = x.shape[-1]
        weight, bias = self.get(f"{name}.weight", width, shift=1.0), self.get(f"{name}.bias", width)
        return F.layer_norm(x, (width,), weight, bias, 1e-12)

    def batch_norm(self, name, x, train):
        width = x.shape[1]
        weight, bias = self.get(f"{name}.weight", width, shift=1.0), self.get(f"{name}.bias", width)
        mean = self.get(f"{name}.running_mean", width, trained=False)
        var = self.get(f"{name}.running_var", width, scale=0.1, shift=1.0, trained=False)
        # Copies, because training would move them.
        return F.batch_norm(x, mean.clone(), var.clone(), weight, bias, train, 0.1, 1e-5)


class Mlp:
    widths, shape = [4, 3], (5,)

    def __init__(self, p, name, x, train):
        self.p, self.name, self.h = p, name, x

    def block(self, d):
        self.h = self.p.linear(f"{self.name}.blocks.{d}", self.h, self.widths[d]).relu()

    def squeezed(self):
        return self.h

    feature = squeezed

    def gate(self, g):
        self.h = self.h * g


class Cnn(Mlp):
    def __init__(self, p, name, x, train):
        super().__init__(p, name, x, train)
        self.train = train

    def block(self, d):
        kernel, conv = (5, F.conv1d) if self.h.dim() == 3 else (3, F.conv2d)
        name = f"{self.name}.blocks.{d}"
        shape = [self.widths[d], self.h.shape[1]] + [kernel] * (self.h.dim() - 2)
        h = conv(self.h, self.p.get(f"{name}.conv.weight", *shape), stride=2, padding=kernel // 2)
        self.h = self.p.batch_norm(f"{name}.bn", h, self.train).relu()

    def squeezed(self):
        return self.h.flatten(2).mean(2)

    feature = squeezed

    def gate(self, g):
        self.h = self.h * g.reshape(g.shape + (1,) * (self.h.dim() - 2))


class Series(Cnn):
    widths, shape = [4, 6], (2, 12)


class Picture(Cnn):
    widths, shape = [3, 6], (1, 8, 8)


def attention(p, names, x, seen, heads):
    split = lambda part: p.linear(f"{names}.{part}", x, x.shape[2]).unflatten(2, (heads, -1)).transpose(1, 2)
    mask = None if seen is None else seen[:, None, None, :]
    y = F.scaled_dot_product_attention(split("query"), split("key"), split("value"), attn_mask=mask)
    return y.transpose(1, 2).flatten(2)


class Tokens:
    frames, seen = 1, None

    def block(self, d):
        own = self.h.shape[1]
        h, seen = self.h, self.seen
        if self.shared is not None:
            h = torch.cat([h, self.shared], 1)
            if seen is not None:
                seen = torch.cat([seen, torch.ones(len(h), self.shared.shape[1], dtype=torch.bool)], 1)
        h = self.layer(f"{self.name}.encoder.layer.{d}", h, seen)
        self.h = h[:, :own]
        if self.shared is not None:
            self.shared = h[:, own:]
        if d + 1 == 3:
            self.h = self.last(self.h)


class Vit(Tokens):
    width, shape = 8, (1, 8, 8)

    def __init__(self, p, name, x, train):
        self.p, self.name, self.shared = p, name, None
        if x.dim() == 5:
            self.frames = x.shape[2]
            x = x.transpose(1, 2).flatten(0, 1)
        w, e = self.width, f"{name}.embeddings"
        conv = f"{e}.patch_embeddings.projection"
        x = F.conv2d(x, p.get(f"{conv}.weight", w, 1, 4, 4), p.get(f"{conv}.bias", w), stride=4).flatten(2)
        first = p.get(f"{e}.cls_token", 1, 1, w).expand(len(x), -1, -1)
        self.h = torch.cat([first, x.transpose(1, 2)], 1) + p.get(f"{e}.position_embeddings", 1, 5, w)

    def layer(self, n, x, seen):
        p, w = self.p, self.width
        y = attention(p, f"{n}.attention.attention", p.norm(f"{n}.layernorm_before", x), seen, 2)
        x = x + p.linear(f"{n}.attention.output.dense", y, w)
        y = F.gelu(p.linear(f"{n}.intermediate.dense", p.norm(f"{n}.layernorm_after", x), 4 * w))
        return x + p.linear(f"{n}.output.dense", y, w)

    def last(self, h):
        return self.p.norm(f"{self.name}.layernorm", h)

    def feature(self):
        return self.h[:, 0].unflatten(0, (-1, self.frames)).mean(1)


class Video(Vit):
    width, shape = 6, (1, 2, 8, 8)


class Text(Tokens):
    width, shape = 8, (5, 3)

    def __init__(self, p, name, x, train):
        self.p, self.name, self.shared = p, name, None
        w, e = self.width, f"{name}.embeddings"
        first = p.get(f"{e}.cls_token", 1, 1, w).expand(len(x), -1, -1)
        h = torch.cat([first, p.linear(f"{e}.projection", x, w)], 1) + p.get(f"{e}.position_embeddings.weight", 6, w)
        self.h = p.norm(f"{e}.LayerNorm", h)
        self.seen = torch.cat([torch.ones(len(x), 1, dtype=torch.bool), (x != 0).any(2)], 1)

    def layer(self, n, x, seen):
        p, w = self.p, self.width
        y = attention(p, f"{n}.attention.self", x, seen, 2)
        x = p.norm(f"{n}.attention.output.LayerNorm", x + p.linear(f"{n}.attention.output.dense", y, w))
        y = p.linear(f"{n}.output.dense", F.gelu(p.linear(f"{n}.intermediate.dense", x, 4 * w)), w)
        return p.norm(f"{n}.output.LayerNorm", x + y)

    def last(self, h):
        return h

    def feature(self):
        return self.h[:, 0]


def mmtm(p, encoders, present, reduction=2):
    for d in range(2):
        for e in encoders:
            e.block(d)
        means = [e.squeezed() * present[:, m : m + 1] for m, e in enumerate(encoders)]
        joint = torch.cat(means, 1)
        z = p.linear(f"mmtm.{d}.squeeze", joint, joint.shape[1] // reduction).relu()
        for m, e in enumerate(encoders):
            e.gate(2 * p.linear(f"mmtm.{d}.{NAMES[m]}", z, e.widths[d]).sigmoid())


def bottleneck(p, encoders, present, start=1, tokens=2):
    share = present / present.sum(1, keepdim=True)
    shared = p.get("bottleneck", 1, tokens, encoders[0].width).expand(BATCH, -1, -1)
    for d in range(3):
        for m, e in enumerate(encoders):
            if d >= start:
                own = shared
                if e.width != shared.shape[2]:
                    own = p.linear(f"bottleneck.{NAMES[m]}.into", own, e.width)
                e.shared = own.repeat_interleave(e.frames, 0)
            e.block(d)
        if d >= start:
            left = [e.shared.unflatten(0, (-1, e.frames)).mean(1) for e in encoders]
            wide = shared.shape[2]
            for m, e in enumerate(encoders):
                # The last ones are seen by nobody.
                if e.width != wide and d < 2:
                    left[m] = p.linear(f"bottleneck.{NAMES[m]}.back", left[m], wide)
            if d < 2:
                shared = sum(x * share[:, m, None, None] for m, x in enumerate(left))


def case(name, fusion, kinds, train):
    torch.manual_seed(sum(map(ord, name)) + len(kinds))
    p, present = Parameters(), PRESENT[:, : len(kinds)]
    xs = [torch.randn(BATCH, *kind.shape).double() for kind in kinds]
    for x, kind in zip(xs, kinds):
        if kind is Text:
            x[0, 3:] = 0
    encoders = [kind(p, f"encoders.{NAMES[m]}", xs[m], train) for m, kind in enumerate(kinds)]
    fusion(p, encoders, present)
    heads = [p.linear(f"head.{NAMES[m]}", e.feature() * present[:, m : m + 1], CLASSES) for m, e in enumerate(encoders)]
    logits = sum(heads) / len(heads)
    probe = torch.randn_like(logits).float()
    (logits * probe.double()).sum().backward()
    out = {f"w.{key}": value for key, value in p.items()} | {"probe": probe, "logits": logits, "present": present}
    trained = {key: value for key, value in p.items() if value.requires_grad}
    out |= {f"g.{key}": torch.zeros_like(value) if value.grad is None else value.grad for key, value in trained.items()}
    out |= {f"x.{m}": x for m, x in enumerate(xs)}
    path = HERE / f"inner-{name}-{len(kinds)}{'-train' if train else ''}.safetensors"
    save_file({key: value.detach().float().contiguous() for key, value in out.items()}, path)


def every():
    for count in [2, 3]:
        for train in [False, True]:
            case("mmtm", mmtm, [Series, Picture, Mlp][:count], train)
        case("bottleneck", bottleneck, [Vit, Text, Video][:count], False)


if __name__ == "__main__":
    every()
