"""Preprocessing of images inside the target: stored values to network input, differentiable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from nocere.clinical.dicom.display import TOP, of_header
from nocere.clinical.dicom.luts import Function, Window
from nocere.core.case import Case
from nocere.core.errors import DataError, TargetError


@dataclass(frozen=True, slots=True)
class ImageInput:
    """How stored values [n, C, H, W] in 0..255 become network input.

    Args:
        channels: 1 or 3; a grey image is repeated for 3, a colour image is refused for 1.
        size: (height, width) of the network; None accepts any.
        resize: resize other sizes (bilinear, antialiased); otherwise another size is an error.
        scale: stored values are divided by this.
        mean, std: one value a channel, applied after scaling.
    """

    channels: int = 3
    size: tuple[int, int] | None = None
    resize: bool = False
    scale: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        _check(self)
        if self.scale <= 0:
            raise TargetError("std and scale must be positive.")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ImageInput:
        """From the [input] table of a target card."""
        return cls(**_fields(cls, data))

    def to_json(self) -> dict[str, Any]:
        """Plain form."""
        return asdict(self)

    def __call__(self, x: Any, like: Sequence[Case[Any]] = ()) -> Any:
        """Stored values to network input (torch in, torch out); `like` has the case behind each row.

        Raises:
            TargetError: wrong number of channels or wrong size; or a DICOM file whose values are not what it shows.
        """
        for case in like:
            if "display" in case.header and not of_header(case.header, len(case.x)).plain:
                raise TargetError(
                    f"Case {case.id} is a DICOM file with a window, rescale, inversion, palette, sign or YBR colour, "
                    "and the target's input says nothing of them.",
                    'Declare kind = "dicom" in the target\'s [input].',
                )
        return _normalised(_sized(x, self) / self.scale, self)


@dataclass(frozen=True, slots=True)
class DicomInput:
    """How stored values of DICOM files become network input: as each row's own file is shown, and then scaled.

    Modality, VOI and presentation are those of the file (`clinical.dicom`); displayed levels are not rounded. Images
    that are no DICOM are shown as they are stored.

    Args:
        channels: 1 or 3; a grey image is repeated for 3, colour is refused for 1.
        size: (height, width) of the network; None accepts any.
        resize: resize other sizes (bilinear, antialiased); otherwise another size is an error.
        window: "file", or (centre, width) in the values after the modality's rescale, such as Hounsfield units.
        index: which of the file's windows and VOI tables, counted from 0.
        function: of a given window.
        range: what the darkest and the brightest level become.
        mean, std: one value a channel, applied after that.
    """

    channels: int = 1
    size: tuple[int, int] | None = None
    resize: bool = False
    window: Literal["file"] | tuple[float, float] = "file"
    index: int = 0
    function: Function = "LINEAR"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        _check(self)
        if self.window != "file" and (isinstance(self.window, str) or len(self.window) != 2):
            raise TargetError(f'window is "file" or [centre, width]; got {self.window!r}.')
        if len(self.range) != 2 or self.range[0] == self.range[1]:
            raise TargetError(f"range needs two different numbers; got {list(self.range)}.")
        try:
            self.choice  # noqa: B018
        except DataError as e:
            raise TargetError(e.message, e.hint) from e

    @property
    def choice(self) -> Window | int:
        """The window that is looked through."""
        if self.window == "file":
            return self.index
        centre, width = self.window
        return Window(float(centre), float(width), self.function)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DicomInput:
        """From the [input] table of a target card."""
        return cls(**_fields(cls, data))

    def to_json(self) -> dict[str, Any]:
        """Plain form."""
        return {"kind": "dicom", **asdict(self)}

    def __call__(self, x: Any, like: Sequence[Case[Any]] = ()) -> Any:
        """Stored values to network input (torch in, torch out); `like` has the case behind each row.

        Raises:
            TargetError: wrong number of channels or wrong size, rows without cases, or a window that a file lacks.
        """
        from nocere.clinical.dicom.pipeline import levels

        if x.ndim != 4 or len(like) != len(x):
            raise TargetError(
                f"A DICOM target takes [n, C, H, W] and a case for each row; got {tuple(x.shape)} and {len(like)}."
            )
        try:
            shown = levels(x, [of_header(c.header, x.shape[1]) for c in like], self.choice)
        except DataError as e:
            raise TargetError(e.message, e.hint) from e
        low, high = self.range
        return _normalised(low + _sized(shown, self) * ((high - low) / TOP), self)


Preprocess: TypeAlias = ImageInput | DicomInput


def input_from_json(data: Mapping[str, Any]) -> Preprocess:
    """From the [input] table of a target card: kind = "image" (the default) or "dicom".

    Raises:
        TargetError: unknown kind or field, or a value that cannot be.
    """
    rest = {k: v for k, v in data.items() if k != "kind"}
    kind = data.get("kind", "image")
    if kind not in ("image", "dicom"):
        raise TargetError(f'[input] kind is "image" or "dicom"; got {kind!r}.')
    return DicomInput.from_json(rest) if kind == "dicom" else ImageInput.from_json(rest)


def _check(about: Preprocess) -> None:
    if about.channels not in (1, 3):
        raise TargetError(f"An image target takes 1 or 3 channels; {about.channels} are declared.")
    for name in ("mean", "std"):
        if len(getattr(about, name)) not in (1, about.channels):
            raise TargetError(f"{name} needs 1 or {about.channels} values; got {len(getattr(about, name))}.")
    if min(about.std) <= 0:
        raise TargetError("std and scale must be positive.")


def _fields(made: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    wrong = set(data) - set(made.__dataclass_fields__)
    if wrong:
        raise TargetError(
            f"The target's input is not declared well: {made.__name__} has no {sorted(wrong)[0]!r}.",
            f"It has {', '.join(made.__dataclass_fields__)}.",
        )
    return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}


def _sized(x: Any, about: Preprocess) -> Any:
    """Rows with the declared channels and size."""
    import torch

    if x.ndim != 4:
        raise TargetError(f"An image target takes [n, C, H, W]; got {tuple(x.shape)}.")
    if x.shape[1] != about.channels:
        if (x.shape[1], about.channels) != (1, 3):
            raise TargetError(f"The target takes {about.channels} channel(s); the image has {x.shape[1]}.")
        x = x.expand(-1, 3, -1, -1)
    if about.size is not None and tuple(x.shape[2:]) != about.size:
        if not about.resize:
            raise TargetError(
                f"The target takes images of {about.size[0]} x {about.size[1]}; the image has "
                f"{x.shape[2]} x {x.shape[3]} (height x width).",
                "Give images of that size, or declare resize = true in the target's [input].",
            )
        x = torch.nn.functional.interpolate(x, about.size, mode="bilinear", align_corners=False, antialias=True)
    return x


def _normalised(x: Any, about: Preprocess) -> Any:
    import torch

    mean = torch.tensor(about.mean, dtype=x.dtype, device=x.device).view(1, -1, 1, 1)
    std = torch.tensor(about.std, dtype=x.dtype, device=x.device).view(1, -1, 1, 1)
    return (x - mean) / std
