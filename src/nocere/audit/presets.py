"""Presets: the cells that most people want, as plans would write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from nocere.targets.base import Target

Cells: TypeAlias = tuple[list[dict[str, Any]], list[str]]

WHOLE_RANGE = 255  # of 8 bits
# Cells that test the search, not the model: nearly every case must break where any image is allowed, and a search by
# scores must not find what gradients miss.
SANITY: list[dict[str, Any]] = [
    {"name": "sanity-unbounded", "threat": "image.linf", "radii": [WHOLE_RANGE], "aim": "flip", "sanity": True,
     "limit": 16, "attacks": [{"name": "image.pgd", "steps": 20, "restarts": 2}]},
    {"name": "sanity-black-box", "threat": "image.linf", "radii": [2, 8], "aim": "flip", "sanity": True, "limit": 16,
     "attacks": [{"name": "image.square", "queries": 300}]},
]  # fmt: skip

NEEDS_GRADIENTS = "noise searched with gradients: the target gives none"
NEEDS_STRUCTURE = "exact search of code edits: the target does not give its structure, what was found is a lower bound"


def image_standard(target: Target) -> Cells:
    """Cells of the standard image audit, and what they leave untested for this target.

    Noise at whole grey levels with its random control at equal size and at equal evaluations, the paper's confident
    flip, L2 noise, two small cells that test the search (any image allowed; by scores only), camera angle sampled and
    worst case, brightness, contrast, blur and JPEG.
    """
    searched: list[dict[str, Any]] = [
        {"name": "noise-linf", "threat": "image.linf", "radii": [1, 2, 4, 8], "aim": "flip", "attacks": [
            {"name": "image.pgd", "steps": 10}, {"name": "image.pgd", "steps": 40, "restarts": 3}]},
        {"name": "noise-confident", "threat": "image.linf", "radii": [2], "aim": "worst",
         "attacks": [{"name": "image.pgd", "steps": 20}]},
        {"name": "noise-l2", "threat": "image.l2", "radii": [50, 100, 200, 400], "aim": "flip",
         "attacks": [{"name": "image.pgd", "steps": 20}]},
        *SANITY,
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
    if "gradients" in target.access:
        return [*searched, *open_to_all], []
    return open_to_all, [NEEDS_GRADIENTS]


def image_strong(target: Target) -> Cells:
    """Noise searched as hard as is worth it: cheap first, each attack on what the last could not break."""
    cascade = [
        {"name": "image.pgd", "steps": 5},
        {"name": "image.apgd", "steps": 30},
        {"name": "image.apgd", "steps": 100, "loss": "ce", "first": "random"},
        {"name": "image.apgd", "steps": 100, "targets": 9},
    ]
    cells, left = _noise(cascade, target)
    return [*cells, *SANITY], left


def image_autoattack(target: Target) -> Cells:
    """The published AutoAttack recipe (Croce & Hein 2020, "standard"): the same attacks, steps and restarts."""
    recipe = [
        {"name": "image.apgd", "steps": 100, "loss": "ce", "first": "random"},
        {"name": "image.apgd", "steps": 100, "loss": "dlr", "targets": 9, "first": "random"},
        {"name": "image.fab", "steps": 100, "targets": 9},
        {"name": "image.square", "queries": 5000},
    ]
    return _noise(recipe, target)


def _noise(attacks: list[dict[str, Any]], target: Target) -> Cells:
    """L-infinity and L2 noise at the usual budgets; attacks that need gradients say so where there are none."""
    cells = [
        {"name": "noise-linf", "threat": "image.linf", "radii": [1, 2, 4, 8]},
        {"name": "noise-l2", "threat": "image.l2", "radii": [50, 100, 200, 400]},
    ]
    left = [] if "gradients" in target.access else [NEEDS_GRADIENTS]
    return [{**c, "aim": "flip", "attacks": attacks, "looks": 10_000} for c in cells], left


def claims_standard(target: Target) -> Cells:
    """What coding choices can do to a payer's decision, towards the label that its provider wants.

    One, two and three edits that facts and decided rules license (line 2), the same with undecided prose allowed, and
    all edits without evidence (line 3): exact where the target gives its structure, else a beam search, which is a
    lower bound. Claims that have that label already are left out.
    """
    wanted = next(label for label in target.decision.labels if label != target.decision.positive)
    exact = "structure" in target.access
    attacks: list[dict[str, Any]] = [{"name": "claims.exact"} if exact else {"name": "claims.beam", "width": 8}]
    about = {"radii": [1, 2, 3], "aim": "flip", "looks": 100_000, "attacks": attacks, "gains": "the provider",
             "harmed": "the payer and its members", "goal": {"want": [f"+{wanted}"]}}  # fmt: skip
    cells: list[dict[str, Any]] = [
        {"name": name, "threat": f"claims.{threat}", **about}
        for name, threat in (("truthful", "truthful"), ("truthful-wide", "truthful_wide"), ("no-evidence", "all"))
    ]
    return cells, [] if exact else [NEEDS_STRUCTURE]


def notes_standard(target: Target) -> Cells:
    """What other wordings of a note can do to a model, grade by grade, and one phrase that is put under every note.

    Surface forms (A), wordings of the same concept (A and B), coding variants where the record supports both codes and
    where nobody asked (A to C); wordings drawn and not chosen; boilerplate, another order of sentences, and a universal
    phrase fitted on half of the notes. Every search is cheap first: gradients where there are any, all single swaps,
    a beam, and every member where these are few enough to list, which is a certificate where none turns the decision.
    """
    gradients = "gradients" in target.access
    first: list[dict[str, Any]] = [{"name": "notes.gradient"}] if gradients else []
    search = [*first, {"name": "notes.greedy"}, {"name": "notes.beam"}, {"name": "notes.exhaustive", "limit": 500}]
    words = {"radii": [1, 2, 4], "aim": "flip", "looks": 20_000, "attacks": search}
    cells: list[dict[str, Any]] = [
        {"name": name, "threat": f"notes.{threat}", **words}
        for name, threat in (
            ("surface", "surface"), ("same-concept", "same_concept"), ("coding-supported", "coding_variant"),
            ("coding-any", "coding_variant_wide"),
        )
    ]  # fmt: skip
    cells += [
        {"name": "wording-sampled", "threat": "notes.same_concept", "radii": [4], "aim": "sample", "limit": 100,
         "attacks": [{"name": "notes.sampled", "draws": 50}]},
        {"name": "boilerplate", "threat": "notes.boilerplate", "radii": [1, 4], "aim": "flip", "looks": 2_000,
         "attacks": [{"name": "notes.insert"}]},
        {"name": "reorder", "threat": "notes.reorder", "radii": [4], "aim": "flip", "looks": 2_000, "limit": 100,
         "attacks": [{"name": "notes.reorder"}]},
        {"name": "phrase", "threat": "notes.phrase", "radii": [2], "aim": "flip", "looks": 2_000, "fit": 0.5,
         "attacks": [{"name": "notes.universal"}]},
    ]  # fmt: skip
    return cells, []


PRESETS: dict[str, Callable[[Target], Cells]] = {
    "image.standard": image_standard,
    "image.strong": image_strong,
    "image.autoattack": image_autoattack,
    "claims.standard": claims_standard,
    "notes.standard": notes_standard,
}
