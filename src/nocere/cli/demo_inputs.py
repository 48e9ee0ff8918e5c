"""The inputs of the provenance demo: a synthetic chest X-ray as DICOM, and what may happen to it on its way."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.cases.image import array_case
from nocere.core.case import Case, Truth
from nocere.targets.torch import TorchTarget

SIDE, NETWORK, RADIUS = 256, 64, 2
Told = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class World:
    """A linear classifier trained here, and one case that it gets right with the changes found against it.

    Attributes:
        target: the classifier.
        case: the case.
        adversarial: the case with noise of at most RADIUS grey levels that changes the decision (line 4).
        other: another case with noise of its own, for the change that comes before capture.
        turned: a case turned and shifted so that the decision changes (line 2); None if none was found.
        bundle: folder of the audit that found both.
    """

    target: TorchTarget
    case: Case[Any]
    adversarial: NDArray[np.uint8]
    other: NDArray[np.uint8]
    turned: NDArray[np.uint8] | None
    bundle: Path


def world(folder: Path, told: Told) -> World:
    """Train, audit and choose; deterministic."""
    import shutil

    from nocere.audit.api import probe
    from nocere.audit.bundle import evidence_path
    from nocere.cases.image import read_pixels
    from nocere.cases.phantoms.sets import chest

    target = _train(told)
    cells = [
        {"name": "noise", "threat": "image.linf", "radii": [RADIUS], "aim": "worst",
         "attacks": [{"name": "image.pgd", "steps": 20}]},
        {"name": "camera", "threat": "image.rotation_translation", "radii": [15], "aim": "flip",
         "attacks": ["image.grid"]},
    ]  # fmt: skip
    cases = chest(n=12, split="test", size=SIDE)
    shutil.rmtree(folder / "audit", ignore_errors=True)
    bundle = probe(target, cases, folder / "audit", name="Provenance demo", cells=cells, progress=told)

    def found(cell: str, radius: float) -> dict[str, NDArray[np.uint8]]:
        """Case -> image of every confirmed change."""
        hits = [o.case_id for o in bundle.outcomes(cell) if o.finding is not None and o.finding.ok]
        paths = {i: bundle.folder / evidence_path(cell, i, radius) / "image.png" for i in hits}
        return {i: np.asarray(read_pixels(path.read_bytes(), str(path))) for i, path in paths.items()}

    noise, camera = found("noise", RADIUS), found("camera", 15)
    # The cases where the target is surest of both answers.
    surest = sorted(noise, key=lambda i: -min(confidence(target, cases.load(i).x), confidence(target, noise[i])))
    turned = next(iter(camera.values()), None)
    return World(target, cases.load(surest[0]), noise[surest[0]], noise[surest[1]], turned, bundle.folder)


def answer(target: TorchTarget, x: NDArray[np.uint8]) -> tuple[str, float]:
    """What the target says of stored values [1, rows, columns]: label and its probability."""
    import torch

    from nocere.core.batch import Batch

    case = array_case("shown", x, Truth.of(target.decision.labels[0]))
    scores = target.scores(Batch(torch.from_numpy(np.array(x, dtype=np.float32))[None], (case,)))
    probabilities = target.decision.probabilities(scores)
    assert probabilities is not None
    p = probabilities[0]
    return str(target.decision.labels[int(p.argmax())]), float(p.max())


def confidence(target: TorchTarget, x: NDArray[np.uint8]) -> float:
    """The probability of the label that the target gives."""
    return answer(target, x)[1]


def _train(told: Told) -> TorchTarget:
    """A linear classifier on 64 x 64 grey levels: logistic regression, scikit-learn's solver."""
    import torch
    from sklearn.linear_model import LogisticRegression

    from nocere.cases.phantoms.sets import CHEST_LABELS, chest
    from nocere.core.decision import OneLogit
    from nocere.targets.preprocess import ImageInput

    n = 1200
    rows, marks = [], []
    for i, case in enumerate(chest(n=n, split="train", size=NETWORK)):
        rows.append(case.x.ravel())
        marks.append(CHEST_LABELS.index(str(case.truth.label)))
        if i % 100 == 99:
            told("drawing phantoms", i + 1, n)
    x = np.array(rows, dtype=np.float64) / 255.0
    fitted = LogisticRegression(C=1.0, max_iter=300).fit(x - x.mean(0), np.array(marks))
    linear = torch.nn.Linear(x.shape[1], 1)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(fitted.coef_))
        linear.bias.copy_(torch.from_numpy(fitted.intercept_ - fitted.coef_ @ x.mean(0)))
    input_ = ImageInput(1, (NETWORK, NETWORK), resize=True)
    return TorchTarget(
        torch.nn.Sequential(torch.nn.Flatten(), linear), OneLogit(CHEST_LABELS), input_, name="linear demo"
    )


def dicom(x: NDArray[np.uint8], uid: str) -> Any:
    """An uncompressed digital X-ray of [1, rows, columns] grey levels; plainly synthetic."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(uid)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{uid}.1", f"{uid}.2"
    ds.PatientName, ds.PatientID, ds.Modality, ds.ViewPosition = "Phantom^Synthetic", "PHANTOM-1", "DX", "PA"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *x.shape[1:], 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.WindowCenter, ds.WindowWidth = "128", "256"
    ds.PixelData = np.ascontiguousarray(x[0]).tobytes()
    return ds


def saved(ds: Any) -> bytes:
    """The data set as a Part 10 file."""
    data = io.BytesIO()
    ds.save_as(data, enforce_file_format=True)
    return data.getvalue()


def with_pixels(ds: Any, x: NDArray[np.uint8]) -> Any:
    """The same file with other samples."""
    from copy import deepcopy

    out = deepcopy(ds)
    out.PixelData = np.ascontiguousarray(x[0]).tobytes()
    return out


def with_fields(ds: Any, **fields: str) -> Any:
    """The same file with other attributes."""
    from copy import deepcopy

    out = deepcopy(ds)
    for name, value in fields.items():
        setattr(out, name, value)
    return out


def lossless(ds: Any) -> Any:
    """The same image in RLE, as an archive may store it."""
    from copy import deepcopy

    from pydicom.uid import RLELossless

    out = deepcopy(ds)
    out.compress(RLELossless, generate_instance_uid=False)
    return out


def jpeg(x: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Grey levels after one pass through JPEG."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(x[0]).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(data.getvalue())))[None]


def jpeg2000(x: NDArray[np.uint8], rate: int) -> NDArray[np.uint8]:
    """Grey levels after one pass through lossy JPEG 2000 at a compression ratio."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(x[0]).save(
        data, "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[rate], no_jp2=True
    )
    return np.asarray(Image.open(io.BytesIO(data.getvalue())))[None]


def one_pixel(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One grey level in one pixel."""
    out = np.array(x)
    out[0, 100, 150] ^= 1
    return out
