"""Where a name of a concept is only a part of another one: "pulmonary hypertension", "heat stroke", "stroke volume".

A wording may not be exchanged there, since "pulmonary high blood pressure" is not what anybody says of the lungs. What
the lexicon knows as a whole ("pulmonary hypertension") is matched first; this looks at the neighbours of the rest.
"""

from __future__ import annotations

import re

from nocere.clinical.notes.bags import bag

# Descriptions that leave a condition what it is, among the words that look like they make a kind of it.
_NEUTRAL = bag(
    "history avoid reveal give receive live drive year fear appear near clear bear hospital "
    "viral bacterial fungal abdominal lumbar cervical thoracic exertional ischemic embolic thrombotic vaginal "
    "rectal peripheral metastatic "
    "active progressive extensive massive actual additional annual atypical bilateral casual chronic clinical "
    "continual critical current diffuse dramatic episodic essential eventual familiar focal frequent general "
    "generic gradual historic historical identical initial lateral unilateral local main marginal mechanical "
    "medical mental minimal moderate nocturnal normal numerous obvious occasional original partial persistent "
    "personal periodic physical positional possible potential previous primary prior problematic recurrent "
    "regular residual secondary seasonal serious several similar social special sporadic symptomatic "
    "asymptomatic systemic temporary total transient typical unusual usual various continuous intermittent "
    "ordinary particular peculiar singular regular irregular vague controlled uncontrolled tolerable "
    "bothersome arterial anginal dull final equal real whole public postoperative preoperative longstanding "
    "diabetic hypertensive alcoholic asthmatic epileptic febrile anemic diaphoretic dyspneic tachycardic"
)
# Pulmonary, portal, ocular, rheumatic, venous, gestational, reactive, avian.
_MAKES_A_KIND = re.compile(r"[a-z]{2,}(?:al|ic|ary|ory|ive|ian|ar|ous|oid|ile|tic)")
_BEFORE = bag(
    "stomach bird swine walking aspiration double traveler smoker chicken bronze brittle bull cat cold drug "
    "exercise family fetal fever growth hay heat insulin juvenile lassa lyme marrow maternal neonatal non pre "
    "anti post pseudo hyper hypo para parent pregnancy q rebound relapsing scarlet segment spinal spotted st "
    "steroid stress sun trench type valley white window yellow phantom referred withdrawal heart kidney brain "
    "lung bone water motion morning chemo radiation pediatric silent mini sleep sport trauma"
)
_AFTER = bag(
    "shot shots jab season anticoagulant pernio rosacea positive volume vaccine vaccination immunization "
    "insipidus mellitus blister blisters sore sores feet knife intolerance agglutinin scale score inventory "
    "questionnaire index clinic center centre center's specialist precautions like free related induced "
    "associated prone negative antigen antibody antibodies titer test tests screen screening belt mask pillow "
    "chart diary center team unit ward tenderness angle unawareness variant equivalent equivalents mimic "
    "mimics syndrome complex disorder disease headache headaches fever"
)
# What makes another product of a drug: release, strength, combination, salt.
_PRODUCT = bag(
    "er xr sr cr xl la cd dr ec odt ir pm dm hct hctz plus forte cold sinus extended sustained controlled "
    "delayed immediate release succinate tartrate sodium potassium calcium hydrochloride hcl besylate maleate "
    "mesylate fumarate acetate phosphate sulfate citrate magnesium estolate propionate furoate pamoate "
    "decanoate lispro glargine aspart detemir nph regular d junior children infant 3 4 # compound codeine "
    "level levels allergy"
)


_PEOPLE = bag(
    "patient mother father brother sister son daughter wife husband aunt uncle grandmother grandfather child "
    "baby infant"
)


def genitive(owner: str) -> bool:
    """Whether a condition with somebody's name before it is another one: "traveler's diarrhea", "patient's pain"."""
    return owner not in _PEOPLE


def before(word: str) -> bool:
    """Whether a word before a condition makes another condition of it."""
    return word in _BEFORE or (word not in _NEUTRAL and _MAKES_A_KIND.fullmatch(word) is not None)


def after(word: str, drug: bool) -> bool:
    """Whether a word after a concept makes another one of it."""
    return word.lower() in _PRODUCT or word == "D" if drug else word in _AFTER
