"""Units of measure, and the vital signs and laboratory values that a number can belong to, by canonical name."""

from __future__ import annotations

import re
from functools import cache

from nocere.clinical.notes.model import QuantityKind
from nocere.clinical.notes.words import Trie, words

_UNITS: dict[QuantityKind, dict[str, str]] = {
    "dose": {
        "mg": "mg|mgs|milligram|milligrams",
        "mcg": "mcg|mcgs|µg|μg|ug|microgram|micrograms",
        "g": "g|gm|gms|gram|grams",
        "ml": "ml|mls|cc|ccs|milliliter|milliliters|millilitre|millilitres",
        "l": "l|liter|liters|litre|litres",
        "unit": "u|unit|units",
        "iu": "iu|international units",
        "meq": "meq|meqs|milliequivalent|milliequivalents",
        "mmol": "mmol|mmols|millimole|millimoles",
        "tablet": "tab|tabs|tablet|tablets",
        "capsule": "cap|caps|capsule|capsules",
        "pill": "pill|pills",
        "puff": "puff|puffs",
        "spray": "spray|sprays",
        "drop": "gtt|gtts|drop|drops",
        "patch": "patch|patches",
        "teaspoon": "tsp|teaspoon|teaspoons",
        "tablespoon": "tbsp|tablespoon|tablespoons",
        "ampule": "amp|amps|ampule|ampules",
        "vial": "vial|vials",
        "pack": "pack|packs",
        "pack year": "pack year|pack years|pack-year|pack-years",
        "drink": "drink|drinks",
        "beer": "beer|beers",
    },
    "number": {
        "kg": "kg|kgs|kilogram|kilograms|kilo|kilos",
        "lb": "lb|lbs|pound|pounds",
        "oz": "oz|ounce|ounces",
        "mm": "mm|millimeter|millimeters|millimetre|millimetres",
        "cm": "cm|cms|centimeter|centimeters|centimetre|centimetres",
        "m": "m|meter|meters|metre|metres",
        "inch": "inch|inches",
        "foot": "ft|foot|feet",
        "mile": "mile|miles",
        "kg/m2": "kg/m2|kg/m²|kg/m^2",
        "french": "fr|french",
        "gauge": "gauge",
        "joule": "joule|joules",
        "hz": "hz",
        "mv": "mv",
        "block": "block|blocks",
        "flight": "flight|flights",
        "pillow": "pillow|pillows",
    },
    "vital": {
        "mmhg": "mmhg|mm hg|millimeters of mercury",
        "/min": "bpm|beats per minute|beats/min|breaths per minute|breaths/min",
        "f": "f|°f|degrees f|degrees fahrenheit|fahrenheit|deg f",
        "c": "c|°c|degrees c|degrees celsius|celsius|deg c|degrees centigrade|centigrade",
    },
    "lab": {
        "k/ul": "k/ul|k/µl|k/μl|x10^3/ul|x10^9/l",
        "ng/ml": "ng/ml",
        "pg/ml": "pg/ml",
        "mm/hr": "mm/hr|mm/h",
    },
    "duration": {
        "second": "sec|secs|second|seconds",
        "minute": "min|mins|minute|minutes",
        "hour": "h|hr|hrs|hour|hours",
        "day": "d|day|days",
        "week": "wk|wks|week|weeks",
        "month": "mo|mos|month|months",
        "year": "y|yr|yrs|year|years",
        "decade": "decade|decades",
    },
    "share": {"%": "%|percent|per cent"},
}
_VITALS = {
    "blood pressure": ("bp|b/p|blood pressure|blood pressures", "mmhg"),
    "heart rate": ("hr|heart rate", "/min"),
    "pulse": ("pulse|pulse rate", "/min"),
    "respiratory rate": ("rr|respiratory rate|respiration|respirations|resp rate", "/min"),
    "temperature": ("temp|temperature|tmax", ""),
    "oxygen saturation": ("spo2|sao2|o2 sat|o2 sats|o2 saturation|oxygen saturation|oxygen saturations|pulse ox", "%"),
    "weight": ("wt|weight|weighs", ""),
    "height": ("ht|height", ""),
    "bmi": ("bmi|body mass index", "kg/m2"),
}
_LABS = {
    "hemoglobin": "hgb|hemoglobin",
    "hematocrit": "hct|hematocrit",
    "hemoglobin a1c": "a1c|hba1c|hgba1c|hemoglobin a1c|glycated hemoglobin",
    "white cells": "wbc|white count|white blood cell count|white blood count|white cell count",
    "platelets": "plt|platelet|platelets|platelet count",
    "sodium": "sodium",
    "potassium": "potassium",
    "chloride": "chloride",
    "bicarbonate": "bicarbonate|bicarb",
    "urea nitrogen": "bun|blood urea nitrogen",
    "creatinine": "creatinine",
    "glucose": "glucose|blood glucose|blood sugar|fasting glucose",
    "calcium": "calcium",
    "magnesium": "magnesium",
    "inr": "inr",
    "troponin": "troponin",
    "bnp": "bnp|brain natriuretic peptide",
    "tsh": "tsh|thyroid stimulating hormone",
    "ldl": "ldl",
    "hdl": "hdl",
    "cholesterol": "cholesterol|total cholesterol",
    "triglycerides": "triglyceride|triglycerides",
    "ast": "ast",
    "alt": "alt",
    "alkaline phosphatase": "alk phos|alkaline phosphatase",
    "bilirubin": "bilirubin|total bilirubin",
    "albumin": "albumin",
    "lactate": "lactate|lactic acid",
    "esr": "esr|sed rate|sedimentation rate",
    "crp": "crp|c reactive protein",
    "psa": "psa|prostate specific antigen",
    "ejection fraction": "ef|lvef|ejection fraction",
}
# Letters that are units only as they are written here.
_AS_WRITTEN = {"l": "L", "u": "uU", "f": "F", "c": "C", "g": "g", "m": "m", "d": "d", "h": "h", "y": "y"}
_WHOLE = {form: (kind, unit) for kind, of in _UNITS.items() for unit, forms in of.items() for form in forms.split("|")}
_LONG = sorted((f for f in _WHOLE if re.search(r"[^a-zµμ%]", f)), key=len, reverse=True)
_LONG_FIRST = frozenset(f[0] for f in _LONG)
_LONGER = re.compile("(" + "|".join(re.escape(f).replace(r"\ ", r"\s+") for f in _LONG) + r")(?![^\W_])", re.I)
_SHORT = re.compile(r"[A-Za-zµμ]+(?![^\W_])|%")
_PER = re.compile(
    r"(?:\s?/\s?|\s+per\s+)(kg|mcg|mg|ml|dl|l|ul|mm3|m2|hour|hr|h|minute|min|actuation|spray|puff|dose|tablet|tab|hpf)"
    r"(?![^\W_])",
    re.I,
)
_PER_NAMES = {"hr": "hour", "h": "hour", "minute": "min", "tab": "tablet"}
_CONCENTRATION = frozenset({"dl", "l", "ul", "mm3", "hpf"})


def unit(text: str, at: int) -> tuple[QuantityKind, str, int] | None:
    """The unit that begins at a place: its kind, its name and where it ends."""
    match = _LONGER.match(text, at) if text[at : at + 1].lower() in _LONG_FIRST else None
    match = match or _SHORT.match(text, at)
    if not match:
        return None
    written = match.group()
    folded = " ".join(written.lower().split())
    whole = _WHOLE.get(folded)
    if not whole or (len(folded) == 1 and written not in _AS_WRITTEN.get(folded, written)):
        return None
    kind, name = whole
    end = match.end()
    while per := _PER.match(text, end):
        below = _PER_NAMES.get(per[1].lower(), per[1].lower())
        kind, name, end = "lab" if below in _CONCENTRATION else kind, f"{name}/{below}", per.end()
    return kind, name, end


@cache
def named() -> Trie[tuple[QuantityKind, str, str]]:
    """Names of vital signs and laboratory values: (kind, name, unit that goes without saying)."""
    trie: Trie[tuple[QuantityKind, str, str]] = Trie()
    for name, (forms, usual) in _VITALS.items():
        for form in forms.split("|"):
            trie.add(words(form).keys, ("vital", name, usual))
    for name, forms in _LABS.items():
        for form in forms.split("|"):
            trie.add(words(form).keys, ("lab", name, "%" if name in ("hemoglobin a1c", "hematocrit") else ""))
    return trie
