"""Wordings of frequency, route and everyday connection that mean the same, beside those of abbreviations.tsv.

Each row is a group; the first is the one that all are compared as. Written by us after the ISMP list of error-prone
abbreviations: every 12 hours is not twice a day, nightly is not at bedtime.
"""

from __future__ import annotations

from nocere.clinical.notes.bags import bag, row

GROUPS: tuple[tuple[str, ...], ...] = (
    ("daily", "every day", "each day", "once daily", "once a day", "once per day", "one time a day", "one time daily",
     "one time per day", "once every day", "qd", "q day", "qday"),
    ("twice daily", "twice a day", "twice per day", "two times a day", "two times daily", "two times per day",
     "twice each day", "bid"),
    ("three times daily", "three times a day", "three times per day", "three times each day", "thrice daily", "tid"),
    ("four times daily", "four times a day", "four times per day", "four times each day", "qid"),
    ("five times daily", "five times a day", "five times per day"),
    ("every other day", "qod", "every second day"),
    ("weekly", "every week", "each week", "once weekly", "once a week", "once per week", "one time a week",
     "one time per week"),
    ("twice weekly", "twice a week", "twice per week", "two times a week", "two times per week", "two times weekly"),
    ("three times weekly", "three times a week", "three times per week"),
    ("monthly", "every month", "each month", "once monthly", "once a month", "once per month"),
    ("yearly", "every year", "each year", "once a year", "once yearly", "annually", "once per year", "once annually"),
    ("every morning", "each morning", "qam", "q am"),
    ("every evening", "each evening", "qpm", "q pm"),
    ("nightly", "every night", "each night"),
    ("at bedtime", "qhs", "q hs", "every night at bedtime", "nightly at bedtime", "each night at bedtime"),
    ("as needed", "prn", "as required"),
    ("by mouth", "orally", "po", "per os"),
    ("intravenously", "intravenous", "iv"),
    ("intramuscularly", "intramuscular"),
    ("subcutaneously", "subcutaneous", "subq", "sub q", "subcut"),
    ("sublingually", "sublingual", "under the tongue"),
    ("with", "w/"),
    ("without", "w/o"),
    ("and", "&"),
    ("dr", "doctor"),
    ("temperature", "temp"),
)  # fmt: skip
"""Numbers of times are matched as figures: "2 times a day" is read as "two times a day"."""

NUMBERS: dict[str, int] = {
    word: value
    for value, word in enumerate(
        row(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen"
        )
    )
}
TENS: dict[str, int] = {
    word: 10 * value for value, word in enumerate(row("twenty thirty forty fifty sixty seventy eighty ninety"), start=2)
}
ORDINALS: dict[str, str] = {
    "first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th", "sixth": "6th",
    "seventh": "7th", "eighth": "8th", "ninth": "9th", "tenth": "10th",
}  # fmt: skip
ROMAN: dict[str, str] = {
    numeral: str(value) for value, numeral in enumerate(row("I II III IV V VI VII VIII IX X"), start=1)
}
COUNTED = frozenset({"type", "stage", "grade", "class"})
"""Words after which a Roman numeral is a number."""

CONTRACTED: dict[str, tuple[str, str]] = {
    **{f"{verb}n't": (verb, "not") for verb in (
        "is", "are", "was", "were", "do", "does", "did", "has", "have", "had", "could", "would", "should", "must",
        "need",
    )},
    "can't": ("can", "not"),
    "won't": ("will", "not"),
    "cannot": ("can", "not"),
}  # fmt: skip
CLOSED: dict[str, tuple[str, ...]] = {
    "followup": ("follow", "up"), "checkup": ("check", "up"), "xray": ("x", "ray"), "xrays": ("x", "rays"),
    "workup": ("work", "up"), "flareup": ("flare", "up"), "postop": ("post", "op"), "preop": ("pre", "op"),
    "longstanding": ("long", "standing"), "longterm": ("long", "term"), "shortterm": ("short", "term"),
    "healthcare": ("health", "care"), "toothache": ("tooth", "ache"), "backache": ("back", "ache"),
    "stomachache": ("stomach", "ache"), "earache": ("ear", "ache"), "heartbeat": ("heart", "beat"),
    "bloodwork": ("blood", "work"), "counterclockwise": ("counter", "clockwise"),
}  # fmt: skip
"""Words that are also written apart or with a hyphen."""

PREFIXES = ("non", "post", "pre", "peri", "intra", "inter", "anti", "multi", "semi", "micro", "self", "re", "co")
NO_ARTICLE_DROP_BEFORE = bag(
    "few little cold lot day week month hour year minute couple bit number good great many while"
)
NO_ARTICLE_DROP_AFTER = bag("type group hepatitis vitamin influenza factor category class grade plan not")
