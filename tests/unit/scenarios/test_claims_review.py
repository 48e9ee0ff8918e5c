"""Claims review: its numbers against plain loops, brute force and scikit-learn, on an audit of a small phantom payer."""

from __future__ import annotations

import csv
import io
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reviewed import audited

from nocere.audit.bundle import Bundle
from nocere.audit.replay import replay as replayed
from nocere.cases.claim import Claim, Diagnosis, Line
from nocere.cases.phantoms.claims import billing
from nocere.clinical.codes.graph import load_rules
from nocere.core.case import Case, CaseSet
from nocere.core.errors import DataError, UsageError
from nocere.report.claims import render_claims
from nocere.scenarios.claims_review.campaign import campaign, mean_score
from nocere.scenarios.claims_review.contested import ALL, SETS, TRUTHFUL, Contested, contested, edit_counts
from nocere.scenarios.claims_review.gaming import evidence_value, fewest, gaming
from nocere.scenarios.claims_review.leverage import coding_luck, exploitable
from nocere.scenarios.claims_review.paper import papers_edit
from nocere.scenarios.claims_review.payment import Point, dearest, pareto
from nocere.scenarios.claims_review.quality import quality
from nocere.scenarios.claims_review.review import review
from nocere.scenarios.claims_review.sheet import agreement, sample, sheet
from nocere.scenarios.claims_review.signs import signs
from nocere.scenarios.claims_review.universal import universal
from nocere.targets.claims.payer import train_payer
from nocere.threats.codes.edit import replay
from nocere.threats.codes.sets import Truthful, edits_of

Audit = tuple[Bundle, CaseSet, Any, tuple[Contested, ...]]


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    bundle, cases, target = audited(tmp_path_factory.mktemp("claims") / "audit")
    return bundle, cases, target, contested(bundle, cases)


def test_contested_are_the_claims_that_the_model_denies(audit: Audit) -> None:
    bundle, cases, _, claims = audit
    deny = {r["case_id"] for r in bundle.read("clean.json")["cases"] if r["margins"][1] > 0}
    assert {c.case.id for c in claims} == deny
    assert {c.case.id for c in claims if c.due} == {r.id for r in cases.refs if "approve" in r.truth.labels} & deny
    assert edit_counts(bundle) == (1, 2, 3)


def test_gaming_counts_what_the_outcomes_say(audit: Audit) -> None:
    bundle, cases, _, claims = audit
    rows = {(r["set"], r["edits"]): r for r in gaming(claims, (1, 2, 3))}
    ids = {c.case.id for c in claims}
    assert len(rows) == 9
    for cell, k in rows:
        broken = {o.case_id for o in bundle.outcomes(cell) if o.kind == "broken" and o.radius <= k} & ids
        row = rows[cell, k]
        assert row["turned"]["k"] == len(broken)
        assert row["turned"]["low"] <= row["turned"]["value"] <= row["turned"]["high"]
        assert row["usd"]["value"] == pytest.approx(sum(cases.load(i).x.charge for i in broken))
        assert row["usd"]["low"] <= row["usd"]["value"] <= row["usd"]["high"]
    # What evidence supports is also possible without it, and more edits turn no less.
    for k in (1, 2, 3):
        assert rows[TRUTHFUL, k]["turned"]["k"] <= rows[ALL, k]["turned"]["k"]
    assert rows[ALL, 3]["turned"]["k"] > rows[TRUTHFUL, 3]["turned"]["k"] > 0
    told = evidence_value(claims, 3)["undecided_refused"]
    assert told["flips"]["value"] * len(ids) == pytest.approx(
        rows[ALL, 3]["turned"]["k"] - rows[TRUTHFUL, 3]["turned"]["k"]
    )
    assert told["usd"]["value"] == pytest.approx(rows[ALL, 3]["usd"]["value"] - rows[TRUTHFUL, 3]["usd"]["value"])


def test_every_turned_claim_replays_from_its_file(audit: Audit) -> None:
    bundle, _, target, claims = audit
    found = replayed(bundle, target)
    assert found.replayed == found.total >= sum(c.turned(cell, 3) for c in claims for cell in SETS)
    for c in claims:
        if edits := c.edits(TRUTHFUL):
            turned = replay(c.case.x, edits)
            assert target.decision.margins(target.row_scores(target.encoder.rows([turned])))[0, 0] > 0


def test_each_contested_claim_is_counted_once_by_fewest_edits(audit: Audit) -> None:
    *_, claims = audit
    for tally in fewest(claims, (1, 2, 3)).values():
        assert sum(tally.values()) == len(claims)


def test_rules_used_are_those_of_the_proofs(audit: Audit) -> None:
    *_, claims = audit
    rules = load_rules()
    rows = exploitable(claims, rules)
    assert rows
    for row in rows:
        carried = [
            c for c in claims if any((e.edit, e.rule) == (row["class"], row["rule"]) for e in c.edits(row["set"]))
        ]
        assert row["turned"] == len(carried)
        assert row["alone"] == sum(len(c.edits(row["set"])) == 1 for c in carried)
        assert row["usd"] == pytest.approx(sum(c.usd for c in carried))
        assert not row["rule"] or row["text"] == rules.rule(row["rule"]).text
    assert not any(r["class"] == "X7" for r in rows if r["set"] == TRUTHFUL)


def test_coding_luck_is_among_due_claims_only(audit: Audit) -> None:
    *_, claims = audit
    rows = coding_luck(claims, 3)
    due = [c for c in claims if c.due]
    assert rows[0]["n"] == len(due)
    assert rows[0]["k"] == sum(c.turned(TRUTHFUL, 3) for c in due)
    assert all(r["n"] <= len(due) for r in rows)


def test_habits_are_judged_on_other_providers(audit: Audit) -> None:
    _, _, target, claims = audit
    found = universal(claims, Truthful(), target, "approve")
    assert found["fit_providers"] + found["held_out_providers"] == len({c.provider for c in claims})
    assert found["habits"] == sorted(found["habits"], key=lambda h: -h["fit"])
    assert all(h["fit"] > 0 for h in found["habits"])


def test_dearest_passing_claim_is_the_best_of_all(audit: Audit) -> None:
    _, cases, target, _ = audit
    pset = Truthful(2)
    checked = 0
    for case in itertools.islice(cases, 12):

        def pays(claim: Any) -> float:
            return float(sum(map(ord, "".join(claim.codes))) % 97)  # no rule that a search could follow

        found = dearest(case, pset, target, "approve", pays)
        members = [case.x, *(x for x, _ in pset.members(case))]
        margin = target.decision.margins(target.row_scores(target.encoder.rows(members)))[:, 0]
        passing = [pays(x) for x, m in zip(members, margin, strict=True) if m > 0]
        assert (found.best is None) == (not passing)
        if found.best is not None:
            assert found.best.usd == max(passing)
            assert pays(replay(case.x, found.best.edits)) == found.best.usd
            checked += 1
        assert found.members == len(members) - 1
    assert checked > 3
    with pytest.raises(UsageError, match="has no label 'paid'"):
        dearest(cases.load(cases.refs[0].id), pset, target, "paid", pays)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-3, 3)), min_size=1, max_size=20))
def test_front_holds_what_nothing_beats(values: list[tuple[int, int]]) -> None:
    points = [Point(float(u), float(m), ()) for u, m in values]
    front = pareto(points)
    best = {
        (p.usd, p.margin)
        for p in points
        if not any(q.usd >= p.usd and q.margin >= p.margin and (q.usd, q.margin) != (p.usd, p.margin) for q in points)
    }
    assert {(p.usd, p.margin) for p in front} == best
    assert [p.usd for p in front] == sorted((p.usd for p in front), reverse=True)


def test_campaign_stays_below_the_limit_and_is_a_lower_bound() -> None:
    cases = list(billing(n=40))
    pset = Truthful(1)
    mine = [c for c in cases if 2 <= sum(1 for _ in pset.members(c)) <= 8][:3]
    assert len(mine) == 3

    def pays(claim: Any) -> float:
        return float(len("".join(claim.codes)))

    def score(claims: Any) -> float:
        return float(sum(len(c.diagnoses) for c in claims))

    limit = score([c.x for c in mine]) + 1
    found = campaign(mine, pset, score, limit, pays)
    edited = [replay(c.x, e) for c, e in zip(mine, found.edits, strict=True)]
    assert score(edited) == found.score_after <= limit
    assert sum(map(pays, edited)) == found.usd_after >= found.usd_before
    options = [[c.x, *(x for x, _ in pset.members(c))] for c in mine]
    best = max(sum(map(pays, chosen)) for chosen in itertools.product(*options) if score(chosen) <= limit)
    assert found.usd_before < found.usd_after <= best
    with pytest.raises(UsageError, match="at least one claim"):
        campaign([], pset, score, limit, pays)


def test_the_papers_edit_is_told_as_the_model_answers(audit: Audit) -> None:
    _, _, target, _ = audit
    found = papers_edit(target, "approve", load_rules(), k=2)
    assert found["flips"] == (not found["before"]["passes"] and found["after"]["passes"])
    for s in found["sets"].values():
        assert 0 <= s["flips"] <= s["members"]
        assert all(b["margin"] > 0 for b in s["best"])
        assert s["rank_of_the_papers"] is None or 1 <= s["rank_of_the_papers"] <= s["flips"] + 1


def test_provider_score_is_the_mean_margin(audit: Audit) -> None:
    _, cases, target, _ = audit
    mine = [cases.load(r.id) for r in cases.refs[:5]]
    margins = target.decision.margins(target.row_scores(target.encoder.rows([c.x for c in mine])))
    assert mean_score(target, "deny", mine[0])([c.x for c in mine]) == pytest.approx(margins[:, 1].mean())
    with pytest.raises(UsageError, match="no label 'fraud'"):
        mean_score(target, "fraud", mine[0])


def test_quality_is_what_scikit_learn_says(audit: Audit) -> None:
    from sklearn.metrics import average_precision_score, brier_score_loss

    bundle, cases, target, claims = audit
    found = quality(bundle, claims, "approve", 3)
    assert found is not None
    refs = list(cases.refs)
    truth = np.array(["deny" in r.truth.labels for r in refs])
    scores = target.row_scores(target.encoder.rows([cases.load(r.id).x for r in refs]))[:, 0]
    assert found["auprc"]["value"] == pytest.approx(average_precision_score(truth, scores))
    p = 1 / (1 + np.exp(-scores))
    assert found["calibration"]["brier"]["value"] == pytest.approx(brier_score_loss(truth, p))
    gaps = [abs((p - truth)[(p >= b / 10) & (p < (b + 1) / 10)].sum()) for b in range(10)]
    assert found["calibration"]["ece"]["value"] == pytest.approx(sum(gaps) / len(p))
    desk = round(0.1 * len(refs))
    top = np.argsort(-scores, kind="stable")[:desk]
    assert (found["before"]["precision"]["k"], found["before"]["reviewed"]) == (truth[top].sum(), desk)
    gone = {c.case.id for c in claims if c.turned(TRUTHFUL, 3)}
    left = [i for i in np.argsort(-scores, kind="stable") if refs[i].id not in gone][:desk]
    assert found["after"][TRUTHFUL]["precision"]["k"] == truth[left].sum()
    assert found["before"]["lift"] == pytest.approx(truth[top].mean() / truth.mean())


def test_a_provider_with_round_minutes_stands_out() -> None:
    rng = np.random.default_rng(3)
    cases = []
    for i in range(180):
        rounding = i % 3 == 0
        minutes = int(rng.integers(60, 200))
        line = Line("ZZ801", minutes=5 * (minutes // 5 + 4) if rounding else minutes)
        claim = Claim(
            (Diagnosis("M16.11"),), lines=(line,), setting="outpatient", provider="A" if rounding else "BC"[i % 2]
        )
        noted = {"documented": [{"line": 0, "minutes": minutes, "evidence": ["record"]}], "facts": []}
        cases.append(Case(f"c{i}", claim, noted, group=f"p{i}"))
    found = signs(CaseSet.of(cases))
    assert found["timed_lines"] == 180
    first, *others = found["minutes"]
    assert (first["provider"], first["anomalous"], first["round"]["value"]) == ("A", True, 1.0)
    assert first["excess"]["low"] > 10
    assert not any(o["anomalous"] for o in others)
    assert all(o["excess"]["value"] == 0 for o in others)


def test_the_page_shows_the_reviews_numbers(audit: Audit) -> None:
    bundle, cases, target, claims = audit
    found = review(bundle, cases, target)
    page = render_claims(found)
    row = next(r for r in found["gaming"] if r["set"] == TRUTHFUL and r["edits"] == 3)
    assert f"{row['turned']['k']} of {row['turned']['n']}" in page
    assert f"${found['usd_contested']:,.0f}" in page
    assert "Phantom claims" in page
    assert "<script" not in page
    # Rewritten claims of a user's own data are shown only when asked for.
    assert claims[0].case.id.split("/")[0] in render_claims({**found, "phantom": False}, rewrites=True)
    hidden = render_claims({**found, "phantom": False})
    assert not any(e["case"] in hidden for e in found["examples"])
    other = train_payer(n=1500, trees=10).target
    with pytest.raises(UsageError, match="of another model"):
        review(bundle, cases, other)


def test_sheet_hides_the_answer_and_agreement_is_kappa() -> None:
    from sklearn.metrics import cohen_kappa_score

    rows = sample(list(billing(n=80)), 40, seed=1)
    told, key = sheet(rows, load_rules())
    assert sum(said for *_, said in rows) == 20
    assert all(b"E4" not in line and b"X7" not in line for line in told.splitlines()[:1])
    assert not {"class", "rule", "truthful"} & set(next(csv.reader(io.StringIO(told.decode()))))
    read = list(csv.DictReader(io.StringIO(told.decode())))
    ours = [r["truthful"] for r in csv.DictReader(io.StringIO(key.decode()))]
    rng = np.random.default_rng(0)
    said = [a if rng.random() < 0.8 else {"yes": "no", "no": "yes"}[a] for a in ours]
    for r, word in zip(read, said, strict=True):
        r["truthful (yes/no)"] = word.upper()
    out = io.StringIO()
    writer = csv.DictWriter(out, list(read[0]))
    writer.writeheader()
    writer.writerows(read)
    found = agreement(out.getvalue().encode(), key)
    assert found["kappa"]["value"] == pytest.approx(cohen_kappa_score(ours, said))
    assert found["agreement"]["k"] == sum(a == b for a, b in zip(ours, said, strict=True))
    wrong = len(found["truthful_refused_by_coder"]) + len(found["false_accepted_by_coder"])
    assert wrong == 40 - found["agreement"]["k"]
    with pytest.raises(DataError, match="says ''"):
        agreement(told, key)
    with pytest.raises(DataError, match="truthful edits"):
        sample(list(billing(n=2)), 40, seed=1)


def test_truthful_rows_of_the_sheet_are_those_that_the_checker_accepts() -> None:
    for case, e, said in sample(list(billing(n=60)), 30, seed=2):
        x, proof = replay(case.x, (e,)), [e.to_json()]
        assert (Truthful(1).check(case, x, proof) is None) == said
        assert edits_of(proof) == (e,)
