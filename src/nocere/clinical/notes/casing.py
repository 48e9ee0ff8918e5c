"""Where the case of a word may change without its meaning: "Patient" and "patient", but not "AIDS" and "aids"."""

from __future__ import annotations

from nocere.clinical.notes.bags import bag

# Capitals that are another word in small letters: never folded, wherever they stand.
MEANINGFUL = bag(
    "ACE AIDS ALL ARM BAD BUN CAP CARE CAT COLD CREST CUP DASH DIP FAST GAS HELP HIP HIT ID IT LAD LAP LEAP LIP MAC "
    "MAP MEN MET MG MOM MS MUD OR PACE PAD PAN PAP PAT PEA PEG PET PIP POEM PT RAN RICE SAD STEM TEN TENS TIPS "
    "TOP US"
)
# Something else in other case: magnesium and milligram, millimolar and millimetre, a country and a bird or a ware.
_MIXED = frozenset({"Mg", "MG", "mM", "Turkey", "China", "Polish", "March"})

COMMON = bag(
    "a about after all also am an and any are arm as ask at back bed been both bowel but by came can case chest "
    "chief clear code cough course daily data date day days deep denies did do does done drug drugs each ears "
    "edema exam eye eyes face fall family feet felt fever few find finds flow foot for free from full gait gave "
    "given good had hand has have he head heart heel her here high him hip his home hour how i if in into is it "
    "its job joint knee known labs last leg legs left less life limb liver long low lower lung lungs male man "
    "mass may mild more most mouth much my name nasal nausea neck need new next night no none nor normal nose "
    "not note notes now of off old on once one only oral other our out over pain past per plan post prior pulse "
    "rash rate renal right room same seen she sinus site skin sleep so social some spine stay such take tests "
    "than that the them then there they this three time to today toe tone tongue two under until up upper use "
    "used very visit vital vitals was we week weeks well went were when white who will with woman wound wrist "
    "year years yes you your"
)


def fold(raw: str, known: frozenset[str], shouted: bool) -> str:
    """A word in the case that it is compared in.

    Args:
        raw: the word as it stands.
        known: words in small letters that certainly are words.
        shouted: whether its neighbours are in capitals too, as in a heading.
    """
    if not raw.isascii() or raw in MEANINGFUL or raw in _MIXED:
        return raw
    lower = raw.lower()
    if len(raw) == 1:
        return raw
    if raw.isupper() and len(raw) <= 5 and not shouted and lower not in known and lower not in COMMON:
        return raw
    return lower
