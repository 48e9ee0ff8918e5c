"""An ONNX graph as a torch module, operator by operator, for its gradients.

Operators follow the ONNX operator specification (github.com/onnx/onnx, docs/Operators.md) as far as classifiers of
images use them; anything else is refused by name. Whoever uses a module compares its scores with a runtime's first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nn

Attributes: TypeAlias = Mapping[str, Any]
Op: TypeAlias = Callable[..., Any]


class UnknownOperatorError(Exception):
    """An operator, or a setting of one, that has no torch form here."""


class OnnxModule(torch.nn.Module):
    """The nodes of a graph in order; its weights are buffers.

    Args:
        nodes: (operator, attributes, names of inputs, names of outputs).
        weights: initializers by name.
        input, output: names of what goes in and comes out.
    """

    def __init__(self, nodes: Sequence[Any], weights: Mapping[str, Tensor], input: str, output: str) -> None:
        super().__init__()
        self._nodes, self._input, self._output = tuple(nodes), input, output
        self._places = {name: f"w{i}" for i, name in enumerate(weights)}
        for name, value in weights.items():
            self.register_buffer(self._places[name], value)

    def forward(self, x: Tensor) -> Tensor:
        known: dict[str, Any] = {n: getattr(self, p) for n, p in self._places.items()}
        known[self._input] = x
        for kind, attributes, takes, gives in self._nodes:
            given = [known[n] if n else None for n in takes]
            made = PLAIN[kind](*given) if kind in PLAIN else READING[kind](attributes, *given)
            known.update(zip(gives, made if isinstance(made, tuple) else (made,), strict=False))
        out: Tensor = known[self._output]
        return out


def torch_module(data: bytes, output: str) -> OnnxModule:
    """The module of a serialised model with one input.

    Raises:
        UnknownOperatorError: the graph has one.
    """
    import onnx
    import onnx.inliner

    graph = onnx.inliner.inline_local_functions(onnx.load_from_string(data)).graph
    weights = {t.name: _tensor(t) for t in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in {*PLAIN, *READING}:
            raise UnknownOperatorError(f"its operator {node.op_type} has no torch form here")
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant":
            weights[node.output[0]] = _constant(attributes)
            continue
        nodes.append((node.op_type, attributes, tuple(node.input), tuple(node.output)))
    (name,) = [i.name for i in graph.input if i.name not in weights]
    return OnnxModule(nodes, weights, name, output).eval()


def _tensor(proto: Any) -> Tensor:
    import onnx

    return torch.from_numpy(np.array(onnx.numpy_helper.to_array(proto)))


def _constant(attributes: Attributes) -> Tensor:
    if "value" in attributes:
        return _tensor(attributes["value"])
    for key, kind in (("value_float", torch.float32), ("value_floats", torch.float32)):
        if key in attributes:
            return torch.tensor(attributes[key], dtype=kind)
    for key in ("value_int", "value_ints"):
        if key in attributes:
            return torch.tensor(attributes[key], dtype=torch.int64)
    raise UnknownOperatorError(f"a constant given as {next(iter(attributes), 'nothing')} has no torch form here")


def _ints(values: Any) -> list[int]:
    return [int(v) for v in (values.tolist() if isinstance(values, Tensor) else values)]


def _margins(a: Attributes, x: Tensor, kernel: Sequence[int], stride: Sequence[int], fill: float) -> Tensor:
    """x with the padding that a convolution or pooling asks for, begins and ends apart."""
    n = len(kernel)
    auto = a.get("auto_pad", b"NOTSET").decode()
    dilations = _ints(a.get("dilations", [1] * n))
    pads = _ints(a.get("pads", [0] * (2 * n)))
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = [0] * (2 * n)
        for i, size in enumerate(x.shape[2:]):
            more = max((-(-size // stride[i]) - 1) * stride[i] + (kernel[i] - 1) * dilations[i] + 1 - size, 0)
            small, large = more // 2, more - more // 2
            pads[i], pads[i + n] = (small, large) if auto == "SAME_UPPER" else (large, small)
    if not any(pads):
        return x
    flat = [p for i in reversed(range(n)) for p in (pads[i], pads[i + n])]
    return nn.pad(x, flat, value=fill)


def _conv(a: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    n = w.ndim - 2
    stride = _ints(a.get("strides", [1] * n))
    x = _margins(a, x, w.shape[2:], stride, 0.0)
    conv: Any = (nn.conv1d, nn.conv2d, nn.conv3d)[n - 1]
    out: Tensor = conv(x, w, b, stride=stride, dilation=_ints(a.get("dilations", [1] * n)), groups=a.get("group", 1))
    return out


def _pool(a: Attributes, x: Tensor, *, largest: bool) -> Tensor:
    kernel = _ints(a["kernel_shape"])
    n = len(kernel)
    stride = _ints(a.get("strides", [1] * n))
    dilations = _ints(a.get("dilations", [1] * n))
    if largest:
        x = _margins(a, x, kernel, stride, float("-inf"))
        pool: Any = (nn.max_pool1d, nn.max_pool2d, nn.max_pool3d)[n - 1]
        out: Tensor = pool(x, kernel, stride, dilation=dilations, ceil_mode=bool(a.get("ceil_mode", 0)))
        return out
    if a.get("ceil_mode", 0) or any(d != 1 for d in dilations):
        raise UnknownOperatorError("an AveragePool with ceil_mode or dilations has no torch form here")
    mean: Any = (nn.avg_pool1d, nn.avg_pool2d, nn.avg_pool3d)[n - 1]
    padded = _margins(a, x, kernel, stride, 0.0)
    total: Tensor = mean(padded, kernel, stride)
    if padded is x or a.get("count_include_pad", 0):
        return total
    share: Tensor = mean(_margins(a, torch.ones_like(x), kernel, stride, 0.0), kernel, stride)
    return total / share


def _gemm(a: Attributes, x: Tensor, w: Tensor, c: Tensor | None = None) -> Tensor:
    x = x.T if a.get("transA", 0) else x
    w = w.T if a.get("transB", 0) else w
    out: Tensor = a.get("alpha", 1.0) * (x @ w)
    return out if c is None else out + a.get("beta", 1.0) * c


def _batch_norm(a: Attributes, x: Tensor, scale: Tensor, b: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    if a.get("training_mode", 0):
        raise UnknownOperatorError("a BatchNormalization in training mode has no torch form here")
    return nn.batch_norm(x, mean, var, scale, b, False, 0.0, a.get("epsilon", 1e-5))


def _layer_norm(a: Attributes, x: Tensor, scale: Tensor, b: Tensor | None = None) -> Tensor:
    axis = a.get("axis", -1) % x.ndim
    return nn.layer_norm(x, x.shape[axis:], scale.expand(x.shape[axis:]), b, a.get("epsilon", 1e-5))


def _instance_norm(a: Attributes, x: Tensor, scale: Tensor, b: Tensor) -> Tensor:
    return nn.instance_norm(x, weight=scale, bias=b, eps=a.get("epsilon", 1e-5))


def _clip(a: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    low, high = a.get("min", low), a.get("max", high)
    out: Tensor = x if low is None and high is None else torch.clamp(x, low, high)
    return out


def _reduce(function: Callable[..., Tensor]) -> Op:
    def made(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
        given = axes if axes is not None else a.get("axes")
        if given is None and a.get("noop_with_empty_axes", 0):
            return x
        return function(x, list(range(x.ndim)) if given is None else _ints(given), bool(a.get("keepdims", 1)))

    return made


def _reshape(a: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    sizes = _ints(shape)
    if not a.get("allowzero", 0):
        sizes = [x.shape[i] if s == 0 else s for i, s in enumerate(sizes)]
    return x.reshape(sizes)


def _flatten(a: Attributes, x: Tensor) -> Tensor:
    axis = a.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def _squeeze(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    given = axes if axes is not None else a.get("axes")
    return x.squeeze() if given is None else x.squeeze(tuple(_ints(given)))


def _unsqueeze(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    given = _ints(axes if axes is not None else a["axes"])
    for axis in sorted(i % (x.ndim + len(given)) for i in given):
        x = x.unsqueeze(axis)
    return x


def _slice(a: Attributes, x: Tensor, *given: Tensor | None) -> Tensor:
    starts, ends, axes, steps = [*given, None, None, None, None][:4]
    begin, end = _ints(a["starts"] if starts is None else starts), _ints(a["ends"] if ends is None else ends)
    along = _ints(axes) if axes is not None else _ints(a.get("axes", range(len(begin))))
    step = _ints(steps) if steps is not None else [1] * len(begin)
    if min(step) < 1:
        raise UnknownOperatorError("a Slice that runs backwards has no torch form here")
    where = [slice(None)] * x.ndim
    for i, axis in enumerate(along):
        where[axis] = slice(begin[i], end[i], step[i])
    return x[tuple(where)]


def _split(a: Attributes, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = a.get("axis", 0)
    given = sizes if sizes is not None else a.get("split")
    if given is None:
        return torch.split(x, -(-x.shape[axis] // a["num_outputs"]), axis)
    return torch.split(x, _ints(given), axis)


def _gather(a: Attributes, x: Tensor, index: Tensor) -> Tensor:
    axis = a.get("axis", 0)
    flat = torch.where(index < 0, index + x.shape[axis], index)
    picked = x.index_select(axis, flat.reshape(-1))
    axis %= x.ndim
    return picked.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _pad(a: Attributes, x: Tensor, pads: Any = None, value: Tensor | None = None, axes: Tensor | None = None) -> Tensor:
    mode = a.get("mode", b"constant").decode()
    if mode != "constant":
        raise UnknownOperatorError(f"a Pad of mode {mode} has no torch form here")
    given = _ints(a["pads"] if pads is None else pads)
    along = list(range(x.ndim)) if axes is None else [i % x.ndim for i in _ints(axes)]
    flat = [0] * (2 * x.ndim)
    for i, axis in enumerate(along):
        place = 2 * (x.ndim - 1 - axis)
        flat[place], flat[place + 1] = given[i], given[i + len(along)]
    return nn.pad(x, flat, value=float(a.get("value", 0.0) if value is None else value))


def _cast(a: Attributes, x: Tensor) -> Tensor:
    import onnx

    return x.to(torch.from_numpy(np.zeros((), onnx.helper.tensor_dtype_to_np_dtype(a["to"]))).dtype)


def _gelu(a: Attributes, x: Tensor) -> Tensor:
    return nn.gelu(x, approximate=a.get("approximate", b"none").decode())


def _constant_of_shape(a: Attributes, shape: Tensor) -> Tensor:
    value = _tensor(a["value"]) if "value" in a else torch.zeros(1)
    return value.reshape(()).expand(_ints(shape)).clone()


def _div(x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _folded(function: Callable[[Tensor, Tensor], Tensor], xs: Sequence[Tensor]) -> Tensor:
    out = xs[0]
    for x in xs[1:]:
        out = function(out, x)
    return out


# Operators without attributes, and those that read some.
PLAIN: dict[str, Op] = {
    "MatMul": torch.matmul,
    "GlobalAveragePool": lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True),
    "GlobalMaxPool": lambda x: x.amax(tuple(range(2, x.ndim)), keepdim=True),
    "Relu": torch.relu,
    "PRelu": lambda x, slope: torch.where(x < 0, slope * x, x),
    "Selu": nn.selu,
    "Sigmoid": torch.sigmoid,
    "HardSwish": nn.hardswish,
    "Softplus": nn.softplus,
    "Tanh": torch.tanh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Log": torch.log,
    "Sqrt": torch.sqrt,
    "Reciprocal": torch.reciprocal,
    "Neg": torch.neg,
    "Abs": torch.abs,
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": _div,
    "Pow": torch.pow,
    "Sum": lambda *xs: _folded(torch.add, xs),
    "Max": lambda *xs: _folded(torch.maximum, xs),
    "Min": lambda *xs: _folded(torch.minimum, xs),
    "Where": torch.where,
    "Expand": lambda x, shape: x * torch.ones(_ints(shape), dtype=x.dtype),
    "Identity": lambda x: x,
    "Dropout": lambda x, *_: x,
}
READING: dict[str, Op] = {
    "Constant": _constant,
    "Conv": _conv,
    "Gemm": _gemm,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "InstanceNormalization": _instance_norm,
    "MaxPool": lambda a, x: _pool(a, x, largest=True),
    "AveragePool": lambda a, x: _pool(a, x, largest=False),
    "ReduceMean": _reduce(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "ReduceSum": _reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "ReduceMax": _reduce(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "LeakyRelu": lambda a, x: nn.leaky_relu(x, a.get("alpha", 0.01)),
    "Elu": lambda a, x: nn.elu(x, a.get("alpha", 1.0)),
    "Gelu": _gelu,
    "HardSigmoid": lambda a, x: (a.get("alpha", 0.2) * x + a.get("beta", 0.5)).clamp(0, 1),
    "Softmax": lambda a, x: x.softmax(a.get("axis", -1)),
    "LogSoftmax": lambda a, x: x.log_softmax(a.get("axis", -1)),
    "Clip": _clip,
    "Concat": lambda a, *xs: torch.cat(xs, a["axis"]),
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Pad": _pad,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Transpose": lambda a, x: x.permute(_ints(a.get("perm", range(x.ndim)[::-1]))),
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Shape": lambda a, x: torch.tensor(x.shape[a.get("start", 0) : a.get("end", x.ndim)], dtype=torch.int64),
    "ConstantOfShape": _constant_of_shape,
    "Cast": _cast,
}
