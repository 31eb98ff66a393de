"""The rules of the methods that `make.py` makes cases of, and the small network that they see.

Each is written from the method's specification (papers, read code and choices in `docs/paper-vs-code.md`) and shares
nothing with the crates; where no source but our documents gives a formula (the weights of arl) or a choice (a frozen
modality of mses has no gradient), it is theirs. Names of quantities are those that the methods report.
"""

import numpy as np

from tape import Constants, Var, choose, concat, exp, log, relu, sqrt


class Unclear(Exception):
    """A decision of the rule is so close that rounding might turn it, or the rule does not show: take other draws."""


def clear(condition):
    if not np.all(condition):
        raise Unclear


# The network.


def encode(p, m, x):
    """h <- relu(W h + b), block by block."""
    h, block = Var(x), 0
    while f"encoders.{m}.blocks.{block}.weight" in p:
        h = relu(linear(p, f"encoders.{m}.blocks.{block}", h))
        block += 1
    return h


def linear(p, name, x):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def read_concat(p, names, features):
    """Fused logits of one head over all features; a modality's own are its columns and its share of the bias."""
    start, own = 0, []
    for z in features:
        width = z.value.shape[1]
        own.append(z @ p["head.weight"][:, start : start + width].T + p["head.bias"] / len(names))
        start += width
    return linear(p, "head", concat(features)), own


def total(terms):
    first, *rest = terms
    for term in rest:
        first = first + term
    return first


# Probabilities and losses.


def log_softmax(x):
    x = x - Var(x.value.max(axis=1, keepdims=True))
    return x - log(exp(x).sum(1, keep=True))


def of_label(x, y):
    return x[np.arange(len(y)), y]


def cross_entropy(logits, y):
    return -of_label(log_softmax(logits), y).mean()


def entropy(logits):
    """Of each sample's prediction, in nats."""
    log_p = log_softmax(logits)
    return -(exp(log_p) * log_p).sum(1)


def mean_squares(x):
    return (x * x).mean(1)


# A rule sees `s` (a `Step`) and notes quantities; it returns the loss, and `s.modulate` what becomes of its gradient.


class Step:
    def __init__(self, case, p, batch, t, state):
        self.case, self.p, self.t, self.state = case, p, t, state
        self.hyper, self.names = case["hyper"], case["model"]["modalities"]
        self.y = batch["y"]
        self.features = [encode(p, m, batch[f"x.{m}"]) for m in self.names]
        self.constant, self.notes = Constants(), {}
        self.modulate = lambda grads: grads

    def note(self, key, value):
        self.notes[key] = value.value if isinstance(value, Var) else np.asarray(value, dtype=np.float64)

    def note_each(self, key, values):
        for m, value in zip(self.names, values):
            self.note(f"{key}.{m}", value)

    def losses(self, logits, own, weight):
        """CE of the fused logits plus `weight` times that of each modality's."""
        self.note("logits", logits)
        self.note_each("unimodal", own)
        terms = {"fused": cross_entropy(logits, self.y)} | {
            m: cross_entropy(u, self.y) for m, u in zip(self.names, own)
        }
        for name, term in terms.items():
            self.note(f"loss.{name}", term)
        return total([term if name == "fused" else term * weight for name, term in terms.items()])


def joint_unimodal(s):
    logits, _ = read_concat(s.p, s.names, s.features)
    own = [linear(s.p, f"uni_head.{m}", z) for m, z in zip(s.names, s.features)]
    return s.losses(logits, own, s.hyper["weight"])


def plain(s):
    """CE of the fused logits."""
    logits, own = read_concat(s.p, s.names, s.features)
    s.note("logits", logits)
    s.note_each("unimodal", own)
    return cross_entropy(logits, s.y)


def frozen(s):
    logits, _ = read_concat(s.p, s.names, [Var(z.value) for z in s.features])
    s.note("logits", logits)
    return cross_entropy(logits, s.y)


def ogm_ge(s):
    loss, names = plain(s), s.names
    scores = [exp(of_label(log_softmax(Var(s.notes[f"unimodal.{m}"])), s.y)).sum().value for m in names]
    ratios = [np.mean([scores[i] / scores[j] for j in range(len(names)) if j != i]) for i in range(len(names))]
    coef = [1 - np.tanh(s.hyper["alpha"] * rho) if rho > 1 else 1.0 for rho in ratios]
    clear([abs(rho - 1) > 1e-3 for rho in ratios])
    for key, values in (("score", scores), ("ratio", ratios), ("coef", coef)):
        s.note_each(key, values)

    def modulate(grads):
        for i, m in enumerate(names):
            for name in [n for n in grads if n.startswith(f"encoders.{m}.") and n.endswith("weight")]:
                spread = grads[name].std(ddof=1) if grads[name].size > 1 else 0
                assert spread < 1e-7, "noise of this spread would show"
                grads[name] = grads[name] * coef[i]
        return grads

    s.modulate = modulate
    return loss


def ema(s):
    loss, decay = plain(s), s.hyper["decay"]

    def after(p):
        old = s.state.get("average", p)
        s.state["average"] = {n: decay * old[n] + (1 - decay) * p[n] for n in p} if s.t > 1 else dict(p)
        return {f"average{s.t}.{n}": value for n, value in s.state["average"].items()}

    s.after = after
    return loss


def mbsd(s):
    logits, own = read_concat(s.p, s.names, s.features)
    loss = s.losses(logits, own, 1.0)
    p = [exp(log_softmax(u)) for u in own]
    sure = [of_label(q, s.y) for q in p]
    for q in p:
        top = np.sort(q.value, axis=1)
        clear(top[:, -1] - top[:, -2] > 1e-3)
    right = [q.value.argmax(axis=1) == s.y for q in p]
    compared = own if len(own) == 2 else p
    rs, kl = [], []
    for a in range(len(own)):
        for b in range(a + 1, len(own)):
            counts = Var((right[a] | right[b]).astype(logits.value.dtype))
            ahead = sure[a].value > sure[b].value
            weak, strong = choose(~ahead, sure[a], sure[b]), choose(ahead, sure[a], sure[b])
            w = s.constant((strong - weak) * counts)
            rs.append((w * mean_squares(compared[a] - compared[b])).mean())
            # Third party's: kl_div(input = the stronger probability, not its logarithm, target = the weaker).
            kl.append((w * (weak * (log(weak) - strong))).mean())
    rs, kl = total(rs) / len(rs), total(kl) / len(kl)
    s.note("loss.rs", rs)
    s.note("loss.kl", kl)
    clear(rs.value > 1e-3)
    return loss + rs * s.hyper["rs"] + kl * s.hyper["kl"]


def arl(s):
    logits, own = read_concat(s.p, s.names, s.features)
    loss, count = s.losses(logits, own, s.hyper["gamma"]), len(own)
    share = lambda values: np.array(values) / np.sum(values)
    h = np.maximum(share([entropy(u).mean().value for u in own]), 0.6 / count)
    q = share([np.abs(u.value).sum(axis=1).mean() for u in own])
    w = np.exp(s.hyper["T"] * share(1 / h) * (1 - q) / (count - 1))
    coef = 1 + w / w.sum()
    s.note_each("coef", coef)
    s.modulate = lambda grads: scaled(s, grads, coef, ["encoders.{}."])
    return loss


def scaled(s, grads, coef, prefixes):
    """Gradients below a modality's prefixes times its factor; those of factor 0 are left out."""
    out = {}
    for name, grad in grads.items():
        factor = [k for m, k in zip(s.names, coef) if any(name.startswith(f.format(m)) for f in prefixes)]
        if factor != [0]:
            out[name] = grad * factor[0] if factor else grad
    return out


def mses(s):
    own = [linear(s.p, f"head.{m}", z) for m, z in zip(s.names, s.features)]
    logits = total(own)
    s.note("logits", logits)
    s.note_each("unimodal", own)

    def moves(raw):
        smooth = [raw[0]] + [0.6 * before + 0.4 * now for before, now in zip(raw, raw[1:])]
        best = 0
        for epoch, loss in enumerate(smooth):
            best = epoch if loss < smooth[best] else best
            if epoch - best > s.hyper["patience"]:
                return 0.0
        return 1.0

    coef = [moves(s.hyper["val_loss"][m]) for m in s.names]
    s.note_each("ratio", coef)
    s.note_each("coef", coef)
    s.modulate = lambda grads: scaled(s, grads, coef, ["encoders.{}.", "head.{}."])
    return cross_entropy(logits, s.y)


def amco(s):
    epochs, classes = s.case["epoch"] + 1, s.case["model"]["classes"]
    share = np.sin(np.pi / 2 * min(s.hyper["epsilon"], sum(e / 10 for e in range(epochs))) / s.hyper["epsilon"])
    assert int(share * classes) == classes, "a mask of some classes would be drawn"
    dependent = s.state.get("dependent", [False] * len(s.names))
    own = [linear(s.p, f"head.{m}", z) for m, z in zip(s.names, s.features)]
    summed = total([u * (0.0 if masked else 1.0) for u, masked in zip(own, dependent)])
    s.note("masked", share)
    s.note_each("dependent", [float(d) for d in dependent])
    together = np.exp(log_softmax(concat([Var(u.value) for u in own])).value)
    parts = together.mean(axis=0).reshape(len(own), classes).sum(axis=1)
    s.note_each("share", parts)
    clear(np.abs(parts - s.hyper["sigma"]) > 1e-3)
    s.state["dependent"] = list(parts > s.hyper["sigma"])
    return s.losses(linear(s.p, "out", summed), own, 1.0)


def ma_afs(s):
    own = [linear(s.p, f"head.{m}", z) for m, z in zip(s.names, s.features)]
    clear([(z.value * z.value).sum(axis=1) > 0.01 for z in s.features])
    unit = [z / sqrt((z * z).sum(1, keep=True)) for z in s.features]
    others = lambda i: [(unit[i] * u).sum(1) for j, u in enumerate(unit) if j != i]
    agreement = [total(others(i)) / (len(unit) - 1) for i in range(len(unit))]
    signals = [entropy(u) / np.log(s.case["model"]["classes"]) for u in own] + agreement
    signals = concat([s.constant(x)[:, None] for x in signals])
    log_w = log_softmax(linear(s.p, "scheduler.1", relu(linear(s.p, "scheduler.0", signals))))
    w = exp(log_w)
    fused = total([w[:, i : i + 1] * z for i, z in enumerate(s.features)])
    loss = s.losses(linear(s.p, "head", fused), own, s.hyper["mu"])
    apart = ((w * log_w).sum(1) + np.log(len(own))).mean()
    s.note_each("weight", list(w.value.mean(axis=0)))
    s.note("loss.weights", apart)
    return loss + apart * s.hyper["entropy"]
