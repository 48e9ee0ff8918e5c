"""nocere: probe, protect, prove and play out adversarial changes of medical machine learning."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "probe": "nocere.audit.api",
    "replay": "nocere.audit.replay",
    "Bundle": "nocere.audit.bundle",
    "write_report": "nocere.report.html",
    "CaseSet": "nocere.core.case",
    "Truth": "nocere.core.case",
    "array_case": "nocere.cases.image",
    "image_case": "nocere.cases.image",
    "folder": "nocere.cases.datasets.folder",
    "medmnist": "nocere.cases.datasets.medmnist",
    "dermoscopy": "nocere.cases.phantoms.sets",
    "load_target": "nocere.targets.card",
    "TorchTarget": "nocere.targets.torch",
    "SklearnTarget": "nocere.targets.sklearn",
    "callable_target": "nocere.targets.callable",
    "ImageInput": "nocere.targets.preprocess",
    "OneLogit": "nocere.core.decision",
    "OneVsRest": "nocere.core.decision",
    "Softmax": "nocere.core.decision",
    "MultiLabel": "nocere.core.decision",
    "verify": "nocere.clinical.notes.verify",
    "NocereError": "nocere.core.errors",
}
__all__ = ["__version__", *_PUBLIC]  # pyright: ignore[reportUnsupportedDunderAll]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    # Lazily, so that `import nocere` and `nocere --help` load nothing heavy; a subpackage of the same name is left
    # to the import system.
    if name not in _PUBLIC:
        raise AttributeError(f"module 'nocere' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value
