"""What a DICOM data set says about how it is shown: modality, VOI, presentation and palette attributes."""

from __future__ import annotations

from typing import Any

import numpy as np

from nocere.clinical.dicom.display import Display, Kind
from nocere.clinical.dicom.luts import Lut, Window
from nocere.core.errors import DataError

PALETTES = ("Red", "Green", "Blue")
KINDS: dict[str, Kind] = {
    "MONOCHROME1": "grey",
    "MONOCHROME2": "grey",
    "PALETTE COLOR": "palette",
    "RGB": "rgb",
    "YBR_FULL": "ybr",
    "YBR_FULL_422": "ybr",
}


def display_of(ds: Any, where: str) -> Display:
    """How the one frame of this data set is shown.

    Windows and rescales of an enhanced object's functional groups count before those at the top.

    Raises:
        DataError: attributes that contradict each other, or a form that is not read here.
    """
    photometric = str(ds.PhotometricInterpretation)
    kind, bits, signed = KINDS[photometric], int(ds.BitsStored), bool(ds.PixelRepresentation)
    if kind == "palette":
        return Display(kind, bits, palette=_palette(ds, where))
    if kind != "grey":
        return Display(kind, bits)
    values, seen = _group(ds, "PixelValueTransformationSequence"), _group(ds, "FrameVOILUTSequence")
    slope, intercept, modality = _modality(values, where)
    return Display(
        kind,
        bits,
        signed,
        slope,
        intercept,
        modality,
        _windows(seen, where),
        tuple(_lut(item, "LUTDescriptor", "LUTData", where) for item in seen.get("VOILUTSequence") or ()),
        _inverted(ds, photometric, where),
    )


def _group(ds: Any, keyword: str) -> Any:
    """The item of a functional group macro: of the frame, of all frames, or the data set itself where there is none."""
    for outer in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for groups in (ds.get(outer) or ())[:1]:
            if groups.get(keyword):
                return groups[keyword][0]
    return ds


def _modality(ds: Any, where: str) -> tuple[float, float, Lut | None]:
    tables = ds.get("ModalityLUTSequence") or ()
    slope, intercept = (_number(ds, k, where) for k in ("RescaleSlope", "RescaleIntercept"))
    if tables and (slope is not None or intercept is not None):
        raise DataError(f"{where}: it has a modality LUT and a rescale, which contradict each other.")
    if tables:
        return 1.0, 0.0, _lut(tables[0], "LUTDescriptor", "LUTData", where)
    if slope == 0:
        raise DataError(f"{where}: Rescale Slope (0028,1053) is 0, which makes all values equal.")
    return 1.0 if slope is None else slope, intercept or 0.0, None


def _number(ds: Any, keyword: str, where: str) -> float | None:
    value = ds.get(keyword)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise DataError(f"{where}: {keyword} is no number.")
    return number


def _windows(ds: Any, where: str) -> tuple[Window, ...]:
    function = str(ds.get("VOILUTFunction") or "LINEAR")
    both = [_numbers(ds, k, where) for k in ("WindowCenter", "WindowWidth")]
    if len(both[0]) != len(both[1]):
        raise DataError(f"{where}: {len(both[0])} window centres contradict {len(both[1])} window widths.")
    try:
        return tuple(Window(c, w, function) for c, w in zip(*both, strict=True))  # type: ignore[arg-type]
    except DataError as e:
        raise DataError(f"{where}: {e.message}", e.hint) from e


def _numbers(ds: Any, keyword: str, where: str) -> list[float]:
    value = ds.get(keyword)
    if value is None or value == "":
        return []
    try:
        return [float(v) for v in (value if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value])]
    except (TypeError, ValueError) as e:
        raise DataError(f"{where}: {keyword} is no number.") from e


def _inverted(ds: Any, photometric: str, where: str) -> bool:
    shape = str(ds.get("PresentationLUTShape") or "")
    if ds.get("PresentationLUTSequence"):
        raise DataError(f"{where}: a Presentation LUT Sequence is not read here.")
    if shape not in ("", "IDENTITY", "INVERSE"):
        raise DataError(f"{where}: Presentation LUT Shape {shape!r} is not read here.")
    dark = photometric == "MONOCHROME2"
    if shape and (shape == "IDENTITY") != dark:
        raise DataError(
            f"{where}: {photometric} contradicts Presentation LUT Shape {shape}: one says that low values are "
            f"{'dark' if dark else 'bright'}, the other that they are not."
        )
    return not dark


def _palette(ds: Any, where: str) -> tuple[Lut, ...]:
    if any(f"Segmented{c}PaletteColorLookupTableData" in ds for c in PALETTES):
        raise DataError(f"{where}: segmented palettes are not read here.")
    stem = "PaletteColorLookupTable"
    return tuple(_lut(ds, f"{c}{stem}Descriptor", f"{c}{stem}Data", where) for c in PALETTES)


def _lut(ds: Any, descriptor: str, data: str, where: str) -> Lut:
    """A table by its descriptor (PS3.3 C.11.1.1): entries, first input, bits."""
    told, held = ds.get(descriptor), ds.get(data)
    if told is None or len(told) != 3 or held is None:
        raise DataError(f"{where}: {descriptor} or {data} is missing.")
    count, first, bits = int(told[0]) or 1 << 16, int(told[1]), int(told[2])
    if isinstance(held, bytes):
        # Entries of 8 bits may be packed two a word, or have a word each.
        wide = len(held) >= 2 * count
        values = np.frombuffer(held[: len(held) // 2 * 2] if wide else held, dtype="<u2" if wide else "u1")
    else:
        values = np.atleast_1d(np.asarray(held, dtype=np.int64)) & 0xFFFF
    if not 8 <= bits <= 16 or not 1 <= count <= len(values):
        raise DataError(f"{where}: {data} has {len(values)} entries of {bits} bits; {descriptor} says {count}.")
    values = values[:count]
    if int(values.max()) >= 1 << bits:
        raise DataError(f"{where}: an entry of {data} does not fit into the {bits} bits of {descriptor}.")
    return Lut(first, bits, tuple(map(int, values)))
