"""Makes what networks are compared with whose fusions read the tokens of encoders: `python3 tokens.py`, with torch and
safetensors, in float64.

Each `tokens-*.safetensors` holds the parameters (`w.`, by their names in the network), the inputs (`x.0`, ...), the valid
positions of the third (`valid`), which sample has what (`present`), a `probe`, the `logits`, and the gradients of
sum(logits * probe) by parameters (`g.`).
"""

import inner
import make
import torch
import torch.nn.functional as F

NAMES, BATCH, PRESENT = inner.NAMES, inner.BATCH, inner.PRESENT
# The fourth sample of the third modality ends early, and the first has no position at all.
VALID = torch.tensor([[0] * 5, [1] * 5, [1] * 5, [1, 1, 1, 0, 0], [1] * 5]).double()


class Picture(inner.Vit):
    """Patches without the class token."""

    def tokens(self):
        for d in range(3):
            self.block(d)
        return self.h[:, 1:]


class Series(inner.Text):
    """Vectors without the class token, padding as zeros."""

    def tokens(self):
        for d in range(3):
            self.block(d)
        return self.h[:, 1:] * self.seen[:, 1:, None]


class Tcn:
    shape, widths, kernel = (2, 5), [4, 3], 3

    def __init__(self, p, name, x, train):
        self.p, self.name, self.h = p, name, x * VALID[:, None]

    def conv(self, name, x, width, kernel, dilation):
        weight, bias = self.p.get(f"{name}.weight", width, x.shape[1], kernel), self.p.get(f"{name}.bias", width)
        return F.conv1d(F.pad(x, ((kernel - 1) * dilation, 0)), weight, bias, dilation=dilation)

    def tokens(self):
        for d, width in enumerate(self.widths):
            name, x = f"{self.name}.network.{d}", self.h
            for i in [1, 2]:
                x = self.conv(f"{name}.conv{i}", x, width, self.kernel, 2**d).relu()
            shortcut = self.conv(f"{name}.downsample", self.h, width, 1, 1)
            self.h = (x + shortcut).relu() * VALID[:, None]
        return self.h.transpose(1, 2)


def case(name, fusion, kinds):
    torch.manual_seed(sum(map(ord, name)))
    p, own, present = inner.Parameters(), make.Parameters(), PRESENT
    xs = [torch.randn(BATCH, *kind.shape).double() for kind in kinds]
    xs[1][0, 3:] = 0
    encoders = [kind(p, f"encoders.{NAMES[m]}", xs[m], False) for m, kind in enumerate(kinds)]
    logits = fusion(own, [e.tokens() * present[:, m, None, None] for m, e in enumerate(encoders)])
    probe = torch.randn_like(logits).float()
    (logits * probe.double()).sum().backward()
    weights = p | own
    out = {f"w.{key}": value for key, value in weights.items()}
    out |= {f"g.{key}": torch.zeros_like(value) if value.grad is None else value.grad for key, value in weights.items()}
    out |= {f"x.{m}": x for m, x in enumerate(xs)}
    out |= {"probe": probe, "logits": logits, "present": present, "valid": VALID}
    make.write(make.HERE / f"tokens-{name}.safetensors", out)


if __name__ == "__main__":
    case("cross-attention", make.cross_attention, [Picture, Series, Tcn])
    case("bottleneck", make.bottleneck, [Picture, Series, Tcn])
