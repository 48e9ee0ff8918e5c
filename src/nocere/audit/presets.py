"""Presets: the cells that most people want, as plans would write them."""

from __future__ import annotations

from typing import Any

NEEDS_GRADIENTS = "noise searched with gradients: the target gives none"


def image_standard(gradients: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Cells of the standard image audit, and what they leave untested for this target.

    Noise at whole grey levels with its random control at equal size and at equal evaluations, the paper's confident
    flip, L2 noise, camera angle sampled and worst case, brightness, contrast, blur and JPEG.
    """
    searched: list[dict[str, Any]] = [
        {"name": "noise-linf", "threat": "image.linf", "radii": [1, 2, 4, 8], "aim": "flip", "attacks": [
            {"name": "image.pgd", "steps": 10}, {"name": "image.pgd", "steps": 40, "restarts": 3}]},
        {"name": "noise-confident", "threat": "image.linf", "radii": [2], "aim": "worst",
         "attacks": [{"name": "image.pgd", "steps": 20}]},
        {"name": "noise-l2", "threat": "image.l2", "radii": [50, 100, 200, 400], "aim": "flip",
         "attacks": [{"name": "image.pgd", "steps": 20}]},
    ]  # fmt: skip
    open_to_all: list[dict[str, Any]] = [
        {"name": "control-random", "threat": "image.linf", "radii": [2], "aim": "sample", "limit": 50,
         "attacks": [{"name": "image.random_noise", "draws": 1000}]},
        # As many draws as noise-linf may spend a case and budget: 11 + 3 * 41.
        {"name": "control-worst-of-n", "threat": "image.linf", "radii": [2], "aim": "flip", "limit": 100,
         "attacks": [{"name": "image.random_noise", "draws": 134}]},
        {"name": "camera-sampled", "threat": "image.rotation_translation", "radii": [15], "aim": "sample", "limit": 100,
         "attacks": [{"name": "image.sampled", "draws": 100}]},
        {"name": "camera-worst", "threat": "image.rotation_translation", "radii": [15], "aim": "flip",
         "attacks": ["image.grid"]},
        *({"name": name, "threat": f"image.{name}", "radii": [radius], "aim": "flip",
           "attacks": [{"name": "image.grid", "points": [points]}]}
          for name, radius, points in (("brightness", 20, 9), ("contrast", 20, 9), ("blur", 1, 9), ("jpeg", 50, 11))),
    ]  # fmt: skip
    if gradients:
        return [*searched, *open_to_all], []
    return open_to_all, [NEEDS_GRADIENTS]


PRESETS = {"image.standard": image_standard}
