"""An ONNX file as a target: answers of ONNX Runtime, and gradients where a copy in torch has the same scores.

ONNX Runtime gives no gradients. The file is therefore read a second time, operator by operator (`onnx_torch`); where
the copy's scores agree with the runtime's, it lends its gradients. Judged is always what the runtime answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.batch import Batch
from nocere.core.canonical import sha256
from nocere.core.decision import Decision
from nocere.core.errors import PrerequisiteError, TargetError
from nocere.core.registry import register
from nocere.core.rng import generator
from nocere.targets.base import Access, check_scores
from nocere.targets.blackbox import LabellingBox, Outputs, ScoringBox, box
from nocere.targets.preprocess import Preprocess

TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
AGREES = 1e-4  # of the largest score
PROBES = 4
SIDE = 64  # of a probe, where a file leaves height and width open


class OnnxPort:
    """A file in ONNX Runtime, on one thread; a fixed number of rows a call is kept to.

    Args:
        path: the .onnx file; weights may lie in files beside it.
        output: name of the output that holds the scores; default is the only one.

    Raises:
        PrerequisiteError: onnx or onnxruntime is not installed.
        TargetError: no ONNX file, or one whose inputs and outputs are not those of a classifier.
    """

    counted = False

    def __init__(self, path: str | Path, output: str = "") -> None:
        self.path = Path(path)
        self.data, parts = _read(self.path)
        self.about: Mapping[str, Any] = {"onnx": parts, "output": output}
        self.output = output
        self._open()

    def _open(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(self.data, options, providers=["CPUExecutionProvider"])
        except Exception as e:  # a class of its own for every status
            raise TargetError(f"{self.path} cannot be run by ONNX Runtime ({_first(e)}).") from e
        inputs, outputs = self._session.get_inputs(), [o.name for o in self._session.get_outputs()]
        if len(inputs) != 1 or inputs[0].type not in TYPES:
            told = ", ".join(f"{i.name} {i.type}" for i in inputs)
            raise TargetError(f"{self.path} has the inputs {told}; one input of floating point numbers is needed.")
        if self.output not in outputs if self.output else len(outputs) != 1:
            absent = f", and no {self.output!r}" if self.output else ""
            raise TargetError(
                f"{self.path} has the outputs {', '.join(outputs)}{absent}.",
                "Name the one that holds the scores as [target] output.",
            )
        self.input_name, self._type = inputs[0].name, TYPES[inputs[0].type]
        self.output_name = self.output or outputs[0]
        # A number, or anything else where an axis is open.
        self.shape = tuple(d if isinstance(d, int) else None for d in inputs[0].shape)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def ask(self, x: NDArray[np.float32], name: str, seeds: NDArray[np.uint64] | None = None) -> NDArray[Any]:
        """Answers to rows [n, ...].

        Raises:
            TargetError: rows of another shape than the file declares, or a failure of the runtime.
        """
        fits = len(self.shape) == x.ndim and all(
            d is None or d == n for d, n in zip(self.shape[1:], x.shape[1:], strict=True)
        )
        if not fits:
            want = " x ".join("any" if d is None else str(d) for d in self.shape[1:])
            raise TargetError(
                f"{name} takes input of shape {want} (as its ONNX file says); got {' x '.join(map(str, x.shape[1:]))}.",
                "Declare channels, size and resize in the target's [input], or export it with open axes.",
            )
        step = self.shape[0] or len(x)
        parts = []
        for at in range(0, len(x), step):
            rows = x[at : at + step]
            rows = np.concatenate([rows, np.repeat(rows[-1:], step - len(rows), axis=0)])
            try:
                (raw,) = self._session.run([self.output_name], {self.input_name: rows.astype(self._type)})
            except Exception as e:
                raise TargetError(f"{name} failed on input of shape {x.shape}: {_first(e)}") from e
            if not isinstance(raw, np.ndarray) or raw.ndim == 0 or len(raw) != step:
                shape = raw.shape if isinstance(raw, np.ndarray) else type(raw).__name__
                raise TargetError(
                    f"{name} gives {shape} for {step} rows: its output {self.output_name!r} has no row for each."
                )
            parts.append(raw[: len(x) - at])
        return np.concatenate(parts)

    def probes(self, input: Preprocess | None) -> NDArray[np.float32] | None:
        """Network input [n, ...] to compare on, in units of 1 and of grey levels; None where the shape is not known."""
        shape = list(self.shape[1:])
        if input is not None and len(shape) == 3:
            declared = (input.channels, *(input.size or (None, None)))
            shape = [a if b is None else b for a, b in zip(declared, shape, strict=True)]
        if not shape or shape[0] is None:
            return None
        sides = [SIDE if d is None else d for d in shape]
        rng = generator("onnx", *self.about["onnx"])
        return np.concatenate([rng.normal(size=(PROBES, *sides)), 255 * rng.random((PROBES, *sides))]).astype(
            np.float32
        )


class OnnxTarget(ScoringBox):
    """A file in ONNX Runtime with the gradients of its copy in torch."""

    access: frozenset[Access] = frozenset({"labels", "scores", "gradients"})

    def __init__(self, *args: Any, copy: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.copy = copy

    def vjp(self, batch: Batch) -> tuple[Any, Callable[[Any], Any]]:
        import torch

        x = batch.x.detach().requires_grad_(True)
        with torch.enable_grad():
            z = self.copy(self._prepared(Batch(x, batch.like, batch.seeds)))
        z = z[:, None] if z.ndim == 1 else z
        check_scores(z.detach().numpy(), len(x), self.decision, self.name)

        def pullback(weight: Any) -> Any:
            if not z.requires_grad:
                return torch.zeros_like(x)
            (g,) = torch.autograd.grad(z, x, weight, allow_unused=True)
            return torch.zeros_like(x) if g is None else g

        return z.detach(), pullback


@register("target", "onnx", source="ONNX Runtime")
def onnx_target(
    path: str | Path,
    decision: Decision,
    input: Preprocess | None = None,
    *,
    output: str = "",
    outputs: Outputs = "logits",
    stochastic: bool = False,
    name: str = "model",
) -> ScoringBox | LabellingBox:
    """An ONNX file: a black box, or a white box where its copy in torch gives the same scores.

    Args:
        path: the .onnx file.
        decision: how scores become labels.
        input: stored values to network input; default hands stored values over unchanged.
        output: name of the output with the scores; default is the only one.
        outputs: "logits" (gradients where they can be had), "probabilities" or "labels".
        stochastic: True where the file draws at inference.
        name: shown in reports.

    The target says in `gradients_why` why it has no gradients, where it has none.
    """
    port = OnnxPort(path, output)
    made: Any = box(port, decision, input, outputs=outputs, stochastic=stochastic, name=name)
    made.gradients_why = f"it is declared to return {outputs}, and gradients are taken of logits"
    if outputs == "logits" and not stochastic:
        copy = _copy(made)
        if isinstance(copy, str):
            made.gradients_why = copy
        else:
            made = OnnxTarget(port, decision, input, copy=copy, name=name)
            made.gradients_why = ""
    return made  # type: ignore[no-any-return]


def _copy(made: ScoringBox) -> Any | str:
    """The file as a torch module with the runtime's scores, or why there is none."""
    import torch

    from nocere.targets.onnx_torch import UnknownOperatorError, torch_module

    port = made.port
    assert isinstance(port, OnnxPort)
    x = port.probes(made.input)
    if x is None:
        return "the shape of its input is not known, so that a copy cannot be compared"
    try:
        want = port.ask(x, made.name)
        module = torch_module(port.data, port.output_name)
        with torch.inference_mode():
            got = module(torch.from_numpy(x)).numpy()
    except UnknownOperatorError as e:
        return str(e)
    except (TargetError, RuntimeError, ValueError, IndexError, TypeError, KeyError) as e:
        return f"its copy in torch fails ({_first(e)})"
    off = float(np.abs(got - want).max()) if got.shape == want.shape else float("inf")
    if not off <= AGREES * max(1.0, float(np.abs(want).max())):
        return f"its copy in torch gives other scores (by {off:.2g})"
    return module


def _read(path: Path) -> tuple[bytes, Sequence[str]]:
    """The whole model as bytes, and the hashes of the files that it is made of."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError as e:
        raise PrerequisiteError(f"{path} needs the package {e.name}.", "pip install 'nocere[models]'") from e
    try:
        head = onnx.load(str(path), load_external_data=False)
        onnx.checker.check_model(head if not _outside(head) else str(path))
        beside = sorted(_outside(head))
        data = path.read_bytes() if not beside else onnx.load(str(path)).SerializeToString()
        hashes = [sha256(path.read_bytes()), *(sha256((path.parent / b).read_bytes()) for b in beside)]
    except Exception as e:  # protobuf, the checker and the file system, each with errors of its own
        raise TargetError(f"{path} is not a valid ONNX file ({_first(e)}).") from e
    return data, hashes


def _outside(model: Any) -> set[str]:
    """Files beside the model that hold its weights."""
    return {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if tensor.data_location == 1 and entry.key == "location"
    }


def _first(e: Exception) -> str:
    lines = [line.strip() for line in str(e).splitlines() if line.strip()] or [type(e).__name__]
    return lines[0][:200]
