"""The words and number formats of the report: one helper a kind of thing, so that every page says it alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nocere.audit.measures.measure import Measure
from nocere.core.errors import NocereError
from nocere.core.registry import What, get
from nocere.core.units import LINE_NAMES

ICONS = {"PASS": "✔", "FAIL": "✖", "INCONCLUSIVE": "?", "ERROR": "!", "MEASURED": "–"}
MEANINGS = {
    "PASS": "Every criterion is met by its whole interval.",
    "FAIL": "At least one criterion is missed by its whole interval.",
    "INCONCLUSIVE": "At least one criterion is undecided: its interval contains its limit, or its search is in doubt.",
    "ERROR": "At least one criterion could not be measured.",
    "MEASURED": "No criterion was written before the run: measurements only.",
}
LINES: dict[int, tuple[str, str]] = {
    0: ("the same record written differently", "fix the model"),
    1: ("what honest users do, sampled", "fix the model"),
    2: ("the worst of a truthful set, chosen for its effect", "fix the model; canonical forms"),
    3: ("says something that the source does not support", "evidence and audit"),
    4: ("alters the record itself after capture", "provenance"),
}
ACCESS: dict[str, str] = {
    "structure": "full inspection of the model (structure and weights)",
    "gradients": "the weights, through gradients (white box)",
    "transfer": "a model that stands in for it while searching (transfer, or a differentiable view)",
    "scores": "the model's scores only (black box)",
    "top1": "the winning label and its confidence only (black box)",
    "labels": "the model's decisions only, without scores (black box)",
}
AIMS = {
    "flip": "searched until the decision turns",
    "closest": "searched for the smallest change that turns the decision",
    "worst": "searched for the most confidently wrong answer that the whole budget allows",
    "sample": "drawn at random, not chosen",
}
KINDS: dict[str, tuple[str, str]] = {
    "broken": ("Broken", "the goal was met by a file that was re-read and asked again"),
    "held": ("Not broken", "not broken by what was tried"),
    "certified": ("Certified", "an independent checker accepted an exact search"),
    "already_wrong": ("Already wrong", "wrong before any change, so there was nothing to turn"),
    "not_applicable": ("Not applicable", "the goal does not apply to the case"),
    "not_reached": ("Not reached", "a budget ended first; nothing is known"),
    "errored": ("Errored", "could not be searched; nothing is known"),
}
TITLES = {
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "auroc": "AUROC",
    "flip_rate": "Decisions turned",
    "median_budget": "Median smallest budget",
    "yield": "Yield: search successes that survive as files",
    "draw_flip_share": "Random draws that turn the decision",
    "cases_with_a_flip": "Cases turned by at least one draw",
    "draw_flip_share_p95": "Share of turning draws, 95th percentile over cases",
}
UNITS: dict[str, tuple[str, str]] = {
    "grey_levels": ("grey level", "grey levels"),
    "l2_grey_levels": ("grey level in L2", "grey levels in L2"),
    "l1_grey_levels": ("grey level in L1", "grey levels in L1"),
    "changed_pixels": ("changed pixel", "changed pixels"),
    "displayed_levels": ("displayed grey level", "displayed grey levels"),
    "jnd": ("just-noticeable difference", "just-noticeable differences"),
    "degrees": ("degree", "degrees"),
    "percent": ("percent", "percent"),
    "pixels": ("pixel", "pixels"),
    "jpeg_quality_loss": ("point of JPEG quality lost", "points of JPEG quality lost"),
    "millivolts": ("millivolt", "millivolts"),
    "adc_counts": ("count", "counts"),
    "edits": ("edit", "edits"),
    "usd": ("US dollar", "US dollars"),
}
# Measures that are amounts in their unit, or areas, and so are no percentages.
AMOUNTS = ("median_budget",)
AREAS = ("auroc",)


def percent(value: float) -> str:
    """72.0 from 0.72; nearly none and nearly all never read as none and all."""
    shown = 100.0 * value
    if 0 < shown < 0.05:
        return "<0.01" if shown < 0.01 else f"{shown:.2g}"
    return ">99.9" if 99.95 <= shown < 100 else f"{shown:.1f}"


def plain_number(value: float) -> str:
    """Up to three figures after the point, no trailing zeros: 2, 0.5, 11.25."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return text if text not in ("", "-0", "-") else "0"


def amount(value: float, unit: str) -> str:
    """`2 grey levels`, `1 degree`."""
    one, many = UNITS.get(unit, (unit.replace("_", " "), unit.replace("_", " ")))
    return f"{plain_number(value)} {one if value == 1 else many}"


def listed(items: Sequence[str], last: str = "and") -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def quantity(m: Measure) -> str:
    """A measure with interval and count: `72.0 % (61.8 to 80.7; 72 of 100)`."""
    short = f"; {m.missing} not measured" if m.missing else ""
    if m.value is None:
        return f"no number: {m.why}{short}"
    area, unit = m.key in AREAS, m.key in AMOUNTS
    form = plain_number if unit else (lambda v: f"{v:.3f}") if area else percent
    counted = f"{m.k} of {m.n}" if m.k is not None else f"n = {m.n}"
    value = amount(m.value, m.unit) if unit else form(m.value) if area else f"{form(m.value)} %"
    if m.low is None and m.high is None:
        return f"{value} ({counted}{short}; no interval)"
    if m.key == "draw_flip_share" and m.high is not None:
        return f"{value} (at most {form(m.high)}; {counted} draws{short})"
    low = "no lower limit" if m.low is None else form(m.low)
    high = "no upper limit" if m.high is None else form(m.high)
    return f"{value} ({low} to {high}; {counted}{short})"


def limit_words(key: str, value: float, unit: str) -> str:
    """A criterion's limit in the form of its measure."""
    if key in AMOUNTS:
        return amount(value, unit)
    return plain_number(value) if key in AREAS else f"{percent(value)} %"


def title(key: str) -> str:
    """A measure's name in words."""
    base, _, label = key.partition(":")
    if label:
        verb = "Confident flips" if base.startswith("confident") else "Decisions turned"
        return f"{verb}, {label} cases"
    if base.endswith("_up_to_line"):
        return TITLES.get(base.removesuffix("_up_to_line"), base)
    return TITLES.get(base, base.replace("_", " ").capitalize())


def group_name(group: str) -> str:
    """A subgroup in words."""
    if group == "all":
        return "All cases"
    if group == "truth=borderline":
        return "Readers disagree (borderline)"
    if group == "truth=clear":
        return "Readers agree (clear)"
    key, _, value = group.partition("=")
    return f"{key}: {value}"


def line_words(line: int) -> dict[str, Any]:
    """Number, name, meaning and answering control of a line."""
    what, control = LINES[line]
    return {"line": line, "name": LINE_NAMES[line], "what": what, "control": control}


def summary(what: What, name: str, values: Mapping[str, str]) -> str:
    """First docstring line of a registered thing, its `parameters` replaced by these values; else its name."""
    try:
        text = get(what, name).summary
    except (NocereError, ImportError):
        # A bundle made with a plug-in that is not installed here still has a report.
        return name
    for key, value in values.items():
        text = text.replace(f"`{key}`", value)
    return text.replace("`", "").rstrip(".")


def threat_words(cell: Mapping[str, Any]) -> str:
    """What may be changed, with the tested budgets in place of the radius."""
    values = {k: plain_number(v) for k, v in cell["threat"].items() if isinstance(v, (int, float))}
    values["radius"] = listed([plain_number(r) for r in cell["radii"]], "or")
    words = summary("threat", cell["threat"]["name"], values)
    return words.replace(" 1 whole grey levels", " 1 whole grey level")


def goal_words(goal: Mapping[str, Any]) -> str:
    """What the attacker is after."""
    when = f", only for cases that are {goal['when']}" if goal["when"] else ""
    if not goal["want"]:
        return f"any wrong decision{when}"
    wanted = [("reach" if w[:1] == "+" else "remove") + f" “{w[1:]}”" for w in goal["want"]]
    shift = f" by {plain_number(goal['shift'])}" if goal["shift"] else ""
    return listed(wanted, "and" if goal["combine"] == "all" else "or") + shift + when


def access_level(cell: Mapping[str, Any]) -> str:
    """The strongest access that the searcher had."""
    if cell["view"]:
        return "transfer"
    if cell.get("answers") == "top1":
        return "top1"
    return next(
        (level for level in ("structure", "gradients", "scores", "labels") if level in cell["access"]), "labels"
    )


def artefact_words(made: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """What a round made, and what making it took."""
    about = made.get("view", {})
    match about.get("kind"):
        case "surrogate":
            words = f"a surrogate ({about['arch']}) trained on {record['queries']} answers of the model"
            words += f" ({record['learns']}); it says the same of {record['agreement']:.0%} of the unchanged cases"
        case "bpda":
            words = f"the model itself, differentiated straight through {', '.join(about['parts'])}"
        case "target":
            words = f"another model, fingerprint {about['fingerprint'][:12]}"
        case _:
            words = f"round {made['round']}"
    return f"{made['name']}: {words}"


def attack_words(attack: Mapping[str, Any]) -> str:
    """`image.pgd (steps 10, step 0.5)`."""
    rest = ", ".join(f"{k} {_short(v)}" for k, v in attack.items() if k != "name" and v is not None)
    return f"{attack['name']} ({rest})" if rest else str(attack["name"])


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return plain_number(value)
    if isinstance(value, (list, tuple)):
        return " × ".join(_short(v) for v in value)
    return str(value)
