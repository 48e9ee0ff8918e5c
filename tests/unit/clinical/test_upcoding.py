"""Severity ladders against a second grouper, and billers whose answer is known because they were made so."""

from __future__ import annotations

import pytest

from nocere.cases.claim import Claim, Diagnosis
from nocere.clinical.codes.groupers import Drgpy, Msdrg
from nocere.clinical.codes.payment import DrgPayment
from nocere.clinical.codes.upcoding import climbs, rests_on
from nocere.core.errors import UsageError


def stay(*codes: str) -> Claim:
    return Claim(tuple(map(Diagnosis, codes)), age=72, sex="F", discharge="01")


def test_what_holds_a_stay_on_its_rung() -> None:
    for grouper in (Drgpy(), Msdrg()):
        pay = DrgPayment(base_rate=10_000, grouper=grouper)
        # Weights of DRG 291, 292, 293: 1.2838, 0.8490, 0.5660.
        assert rests_on(stay("I11.0", "I50.22", "K21.9"), pay) == ()
        assert rests_on(stay("I11.0", "I50.22", "E43"), pay) == (("E43", pytest.approx(7178)),)
        assert rests_on(stay("I11.0", "I50.22", "E43", "E44.0"), pay) == (("E43", pytest.approx(4348)),)
        assert rests_on(stay("I11.0", "E43", "G93.41"), pay) == ()


def test_billers_above_their_peers() -> None:
    low, cc, mcc, two = (stay("I11.0", "I50.22", *more) for more in ((), ("E44.0",), ("E43",), ("E43", "G93.41")))
    flat = stay("R07.9")  # chest pain has no ladder
    some = {
        "honest": [low] * 15 + [cc] * 8 + [mcc] * 2 + [flat] * 9,
        "peer": [low] * 20 + [cc] * 5,
        "climber": [mcc] * 18 + [two] * 6 + [low],
        "small": [mcc] * 19,
    }
    found = {c.biller: c for c in climbs(some, Drgpy())}
    assert next(iter(found)) == "climber" and set(found) == {"honest", "peer", "climber"}
    assert (found["climber"].top.k, found["climber"].top.n) == (24, 25)
    assert (found["honest"].top.k, found["honest"].top.n) == (2, 25)
    assert found["climber"].alone is not None and (found["climber"].alone.k, found["climber"].alone.n) == (18, 24)
    assert found["peer"].alone is not None and found["peer"].alone.value == 1.0
    # All but its own: 2 of 25, 0 of 25 and 19 of 19.
    assert found["climber"].peers == pytest.approx(21 / 69)
    with pytest.raises(UsageError, match="20 stays"):
        climbs({"small": [mcc] * 19}, Drgpy())
