"""Files into the index, and pairs out of it: a CSV for a claims department, a picture a pair for the eye."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nocere.core.errors import DataError
from nocere.provenance.capture import load
from nocere.provenance.fingerprint.reading import read
from nocere.provenance.investigate.reuse.index import Duplicate

LONGEST = 512  # pixels of a panel's longer side
COLUMNS = ("image", "group", "same_as", "its_group", "score", "features", "scale", "degrees", "mirrored", "picture")
Plane = NDArray[np.integer[Any]]


def listed(manifest: Path, path: str, group: str) -> list[tuple[Path, str]]:
    """Images and their groups from a CSV file; paths are relative to its folder.

    Raises:
        DataError: unreadable, no such column, an empty group, or an image that is listed twice.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(manifest.read_text(encoding="utf-8-sig")), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        why = getattr(e, "strerror", None) or e
        raise DataError(f"Cannot read the manifest {manifest}: {why}.", "Give a UTF-8 CSV file.") from e
    if not rows:
        raise DataError(f"{manifest} has no rows.", "Its first line names the columns, each further line is an image.")
    for column in (path, group):
        if column not in rows[0]:
            names = ", ".join(map(str, rows[0]))
            raise DataError(f"{manifest}: no column {column!r}.", f"Its columns are: {names}.")
    seen: dict[str, int] = {}
    for line, row in enumerate(rows, 2):
        if not row[path] or not row[group]:
            raise DataError(f"{manifest} line {line}: {path} or {group} is empty.", "Fill it in or remove the row.")
        if row[path] in seen:
            raise DataError(f"{manifest} line {line}: {row[path]} was listed on line {seen[row[path]]} already.")
        seen[row[path]] = line
    return [(manifest.parent / row[path], row[group]) for row in rows]


def frames(path: Path) -> Iterator[tuple[str, Plane]]:
    """Id and stored values of every frame of a DICOM, PNG or JPEG file.

    Raises:
        DataError: unreadable, or not a picture.
    """
    reading = read(load(path))
    if reading.pixels is None or reading.kind not in ("dicom", "image") or reading.pixels.dtype.kind not in "iu":
        raise DataError(f"{path} is no picture (it was read as {reading.kind}).", "Give DICOM, PNG or JPEG files.")
    for k, frame in enumerate(reading.pixels):
        yield (str(path) if len(reading.pixels) == 1 else f"{path}#{k}"), frame


def pair_picture(one: Plane, other: Plane, transform: NDArray[np.float64]) -> bytes:
    """PNG: `one`, `other`, and `other` moved onto `one` by `transform` [2, 3], side by side."""
    a, b = _shown(one), _shown(other)
    onto = np.linalg.inv(np.vstack([transform, [0, 0, 1]]))[:2]
    moved = b.transform(a.size, Image.Transform.AFFINE, tuple(onto.ravel()), Image.Resampling.BILINEAR)
    panels = [a, b, moved]
    for panel in panels:
        panel.thumbnail((LONGEST, LONGEST))
    out = Image.new("RGB", (sum(p.width for p in panels) + 16, max(p.height for p in panels)), "white")
    left = 0
    for panel in panels:
        out.paste(panel, (left, 0))
        left += panel.width + 8
    data = io.BytesIO()
    out.save(data, "PNG")
    return data.getvalue()


def _shown(plane: Plane) -> Image.Image:
    """An image as 8-bit RGB, deeper ones stretched over their own range."""
    x = plane[..., 0] if plane.ndim == 3 and plane.shape[2] == 1 else plane
    if x.dtype != np.uint8:
        low, high = np.percentile(x, (0.5, 99.5))
        x = np.clip((x - low) * (255.0 / max(float(high - low), 1e-6)), 0, 255).astype(np.uint8)
    return Image.fromarray(x).convert("RGB")


def pairs_csv(found: Sequence[Duplicate], pictures: Mapping[int, str]) -> bytes:
    """One line a pair; `pictures` names the file that shows the pair of that number."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(COLUMNS)
    for k, d in enumerate(found):
        m = d.other
        numbers = (f"{m.score:.3f}", m.inliers, f"{m.scale:.3f}", f"{m.rotation:.0f}", int(m.mirrored))
        out.writerow((d.id, d.group, m.id, m.group, *numbers, pictures.get(k, "")))
    return text.getvalue().encode()
