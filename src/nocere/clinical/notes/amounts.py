"""Units as the verifier reads them: which words name the same one, and which are the same up to a power of ten.

A mass, volume or length is compared in its smallest unit, as an exact decimal: 0.5 g is 500 mg. Nothing else is
converted: not Fahrenheit to Celsius, not weeks to days, not every 12 hours to twice a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

# Unit: (written in any case, written exactly so).
_UNITS: dict[str, tuple[str, str]] = {
    "mcg": ("microgram micrograms mcgs", "mcg MCG ug \u00b5g \u03bcg"),
    "mg": ("milligram milligrams mgs", "mg"),
    "g": ("gram grams gms gm", "g"),
    "kg": ("kilogram kilograms kgs kg kilo kilos", ""),
    "mL": ("milliliter milliliters millilitre millilitres mls cc ccs", "mL ml ML"),
    "dL": ("deciliter deciliters decilitre decilitres", "dL dl DL"),
    "L": ("liter liters litre litres", "L l"),
    "mm": ("millimeter millimeters millimetre millimetres", "mm MM"),
    "cm": ("centimeter centimeters centimetre centimetres cms", "cm CM"),
    "inch": ("inch inches", ""),
    "foot": ("foot feet ft", ""),
    "pound": ("pound pounds lb lbs", ""),
    "ounce": ("ounce ounces oz", ""),
    "mEq": ("milliequivalent milliequivalents meq", ""),
    "mmol": ("millimole millimoles mmol", ""),
    "unit": ("unit units", ""),
    "second": ("second seconds sec secs", ""),
    "minute": ("minute minutes min mins", ""),
    "hour": ("hour hours hr hrs", "h H"),
    "day": ("day days", ""),
    "week": ("week weeks wk wks", ""),
    "month": ("month months mo mos", ""),
    "year": ("year years yr yrs", ""),
    "percent": ("percent", "%"),
    "tablet": ("tablet tablets tab tabs", ""),
    "capsule": ("capsule capsules cap caps", ""),
    "puff": ("puff puffs", ""),
    "drop": ("drop drops gtt gtts", ""),
    "spray": ("spray sprays", ""),
    "teaspoon": ("teaspoon teaspoons tsp", ""),
    "tablespoon": ("tablespoon tablespoons tbsp", ""),
    "pack": ("pack packs", ""),
    "mmHg": ("mmhg", ""),
    "bpm": ("bpm", ""),
    "degree": ("degree degrees", "\u00b0"),
    "time": ("time times", ""),
}
_WORDS: dict[tuple[str, ...], str] = {
    **{(w,): unit for unit, (any_case, _) in _UNITS.items() for w in any_case.split()},
    **{(w,): unit for unit, (_, exact) in _UNITS.items() for w in exact.split()},
    **{("mm", mercury): "mmHg" for mercury in ("Hg", "hg", "HG")},
    **{(metre, "of", "mercury"): "mmHg" for metre in ("millimeters", "millimetres")},
    ("per", "cent"): "percent",
    **{("beats", per, minute): "bpm" for per in ("per", "/") for minute in ("minute", "min")},
    **{
        (degree, scale): unit
        for degree in ("degrees", "degree", "deg", "\u00b0")
        for unit, scales in (
            ("\u00b0C", ("C", "c", "celsius", "centigrade")),
            ("\u00b0F", ("F", "f", "fahrenheit")),
        )
        for scale in scales
    },
    ("celsius",): "\u00b0C",
    ("centigrade",): "\u00b0C",
    ("fahrenheit",): "\u00b0F",
    ("\u00b5", "g"): "mcg",
    ("\u03bc", "g"): "mcg",
}
_LONGEST = max(map(len, _WORDS))
# Letters that are a temperature only behind a number that a body can have.
_TEMPERATURES = {"C": ("\u00b0C", Decimal(30), Decimal(45)), "F": ("\u00b0F", Decimal(90), Decimal(115))}
_BASE: dict[str, tuple[str, Decimal]] = {
    "mcg": ("mcg", Decimal(1)),
    "mg": ("mcg", Decimal(1000)),
    "g": ("mcg", Decimal(10) ** 6),
    "kg": ("mcg", Decimal(10) ** 9),
    "mL": ("mL", Decimal(1)),
    "dL": ("mL", Decimal(100)),
    "L": ("mL", Decimal(1000)),
    "mm": ("mm", Decimal(1)),
    "cm": ("mm", Decimal(10)),
}


def unit_at(keys: Sequence[str], position: int, value: str = "") -> tuple[str, int]:
    """The unit whose words begin at a position, and how many words; ("", 0) where there is none.

    `value` is the number before it: "38 C" is a temperature, "5 C" is not.
    """
    for length in range(min(_LONGEST, len(keys) - position), 0, -1):
        unit = _WORDS.get(tuple(keys[position : position + length]))
        if unit:
            return unit, length
    if value and position < len(keys) and keys[position] in _TEMPERATURES:
        unit, low, high = _TEMPERATURES[keys[position]]
        if low <= Decimal(value) <= high:
            return unit, 1
    return "", 0


def measured(value: str, unit: str, convert: bool) -> str:
    """The key of a number with its unit; equal for equal amounts."""
    if convert and unit in _BASE:
        unit, factor = _BASE[unit]
        value = format((Decimal(value) * factor).normalize(), "f")
    return f"{value} {unit}"
