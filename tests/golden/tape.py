"""Reverse-mode differentiation over numpy arrays, and the safetensors format: all that `make.py` needs.

A `Var` knows its value and, for each input that it was made of, how a gradient at it becomes one at the input.
Values keep the precision of their inputs, so that one program runs in float64 and in float32.
"""

import json
import struct

import numpy as np


class Var:
    """A value in the graph."""

    def __init__(self, value, inputs=()):
        self.value, self.inputs = value, inputs

    def __add__(self, other):
        return combine(self, other, lambda a, b: a + b, lambda g, a, b: g, lambda g, a, b: g)

    def __sub__(self, other):
        return combine(self, other, lambda a, b: a - b, lambda g, a, b: g, lambda g, a, b: -g)

    def __mul__(self, other):
        return combine(self, other, lambda a, b: a * b, lambda g, a, b: g * b, lambda g, a, b: g * a)

    def __truediv__(self, other):
        return combine(self, other, lambda a, b: a / b, lambda g, a, b: g / b, lambda g, a, b: -g * a / (b * b))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return self * -1.0

    def __matmul__(self, other):
        """The product of two matrices."""
        a, b = self.value, other.value
        return Var(a @ b, [(self, lambda g: g @ b.T), (other, lambda g: a.T @ g)])

    def __getitem__(self, key):
        def back(g):
            whole = np.zeros_like(self.value)
            np.add.at(whole, key, g)
            return whole

        return Var(self.value[key], [(self, back)])

    @property
    def T(self):
        return Var(self.value.T, [(self, lambda g: g.T)])

    def sum(self, axis=None, keep=False):
        """The sum over one axis or all."""
        shape = self.value.shape

        def back(g):
            g = g if keep or axis is None else np.expand_dims(g, axis)
            return np.broadcast_to(g, shape)

        return Var(self.value.sum(axis=axis, keepdims=keep), [(self, back)])

    def mean(self, axis=None):
        """The mean over one axis or all."""
        count = self.value.size if axis is None else self.value.shape[axis]
        return self.sum(axis) / count


def fit(grad, shape):
    """The gradient of a value of this shape that was repeated to that of `grad`."""
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1 and grad.shape[axis] != 1:
            grad = grad.sum(axis=axis, keepdims=True)
    return grad


def combine(x, y, value, left, right):
    """A function of two values, or of a value and a number, elementwise."""
    a, b = x.value, y.value if isinstance(y, Var) else y
    inputs = [(x, lambda g: fit(left(g, a, b), a.shape))]
    if isinstance(y, Var):
        inputs.append((y, lambda g: fit(right(g, a, b), b.shape)))
    return Var(value(a, b), inputs)


def elementwise(value, slope):
    """A function of one value; its slope may use input and result."""

    def apply(x):
        y = value(x.value)
        return Var(y, [(x, lambda g: g * slope(x.value, y))])

    return apply


exp = elementwise(np.exp, lambda x, y: y)
log = elementwise(np.log, lambda x, y: 1 / x)
sqrt = elementwise(np.sqrt, lambda x, y: 0.5 / y)
relu = elementwise(lambda x: np.maximum(x, 0), lambda x, y: (x > 0).astype(x.dtype))


def concat(parts):
    """Values side by side, along the second axis."""
    ends = np.cumsum([0] + [p.value.shape[1] for p in parts])
    cut = lambda start, end: lambda g: g[:, start:end]
    inputs = [(p, cut(ends[i], ends[i + 1])) for i, p in enumerate(parts)]
    return Var(np.concatenate([p.value for p in parts], axis=1), inputs)


def choose(condition, x, y):
    """`x` where the condition holds, else `y`."""
    keep = condition.astype(x.value.dtype)
    return x * Var(keep) + y * Var(1 - keep)


class Constants:
    """Values without gradient.

    Central differences of a loss see the constants of the point at which they are taken: there they are `replayed`.
    """

    def __init__(self):
        self.seen, self.replayed = [], None

    def __call__(self, x):
        """`x` as a constant."""
        value = x.value.copy() if self.replayed is None else self.replayed[len(self.seen)]
        self.seen.append(value)
        return Var(value)


def gradients(loss, params):
    """The gradient of a scalar at every parameter that it was made of."""
    order, done = [], set()

    def visit(var):
        if id(var) not in done:
            done.add(id(var))
            for source, _ in var.inputs:
                visit(source)
            order.append(var)

    visit(loss)
    grads = {id(loss): np.ones_like(loss.value)}
    for var in reversed(order):
        for source, back in var.inputs:
            part = back(grads[id(var)])
            grads[id(source)] = grads[id(source)] + part if id(source) in grads else part
    return {name: np.array(grads[id(p)]) for name, p in params.items() if id(p) in grads}


def write_safetensors(path, tensors):
    """Floats as f32, integers as i64, names sorted."""
    header, data = {}, b""
    for name in sorted(tensors):
        array = np.asarray(tensors[name])
        kind, array = ("I64", array.astype("<i8")) if array.dtype.kind == "i" else ("F32", array.astype("<f4"))
        raw = array.tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
