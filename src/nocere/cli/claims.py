"""`nocere claims`: what an audit of a claims model is worth in money, by which rules; a blinded sheet for a coder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

Flag = Annotated[bool, Parameter(negative="")]

app = App(
    name="claims",
    help="Claims models: review an audit in dollars and rules, and have its edits checked by a coder.\n\n"
    "Example: `nocere claims review plan.toml audit-1`",
)


@app.command
def review(plan: Path, bundle: Path, /, *, trust: Flag = False, rewrites: Flag = False, json: Flag = False) -> int:
    """Write the claims report of a finished audit: claims.html and claims.json in its folder.

    The audit must have been run with preset = "claims.standard". Gaming by true codes, the value of evidence, the most
    exploitable rules, coding luck, payment.

    Example: `nocere audit run plan.toml --out audit-1` and then `nocere claims review plan.toml audit-1`

    Parameters
    ----------
    plan
        The plan of the audit.
    bundle
        Folder that `nocere audit run` wrote.
    trust
        Open model files that can run code (pickles).
    rewrites
        Show turned claims of your own data code by code. The report then holds patients' data.
    json
        Print the review as one JSON object.
    """
    from nocere.audit.bundle import Bundle
    from nocere.audit.plan import load_spec
    from nocere.cli.output import show_json
    from nocere.report.claims import write_claims
    from nocere.scenarios.claims_review.review import review as reviewed
    from nocere.scenarios.claims_review.review import write_review

    opened = Bundle(bundle)
    opened.verify()
    spec = load_spec(plan, trust=trust)
    found = reviewed(opened, spec.cases, spec.target)
    write_review(found, bundle)
    page = write_claims(found, bundle, rewrites=rewrites)
    if json:
        show_json(found)
    else:
        print("\n".join(summary(found)))
        print(f"Report: {page}")
    return 0


def summary(found: dict[str, object]) -> list[str]:
    """The main figures of a review in words."""
    from nocere.report.claims import SETS, share, usd

    rows: list[dict[str, object]] = found["gaming"]  # type: ignore[assignment]
    lines = [f"{found['contested']} of {found['claims']} claims are contested by {found['target']['name']}."]  # type: ignore[index]
    for name, (words, _) in SETS.items():
        last = [r for r in rows if r["set"] == name][-1]
        lines.append(
            f"  {words}, up to {last['edits']} edits: turned {share(last['turned'])}, charges {usd(last['usd'])}, "  # type: ignore[arg-type]
            f"{last['certified']} certified"
        )
    return lines


@app.command
def sheet(
    plan: Path, /, *, out: Path, n: Annotated[int, Parameter(name=["-n", "--number"])] = 100, seed: int = 0
) -> int:
    """Write a blinded sheet for a certified coder, and its key.

    Half of the edits are such as nocere calls truthful, half such as it calls false, in random order; the sheet does
    not say which. Give the coder sheet.csv and keep key.csv.

    Example: `nocere claims sheet plan.toml --out coder -n 100`

    Parameters
    ----------
    plan
        A plan whose [cases] are claims.
    out
        Folder for sheet.csv and key.csv.
    n
        Edits on the sheet.
    seed
        Another seed draws other edits.
    """
    from nocere.audit.plan import load_cases, read_plan
    from nocere.clinical.codes.graph import load_rules
    from nocere.core.files import private_folder, write_atomic
    from nocere.scenarios.claims_review.sheet import sample
    from nocere.scenarios.claims_review.sheet import sheet as written

    cases = load_cases(read_plan(plan).cases, plan.parent)
    told, key = written(sample(list(cases), n, seed), load_rules())
    private_folder(out)
    write_atomic(out / "key.csv", key)
    write_atomic(out / "sheet.csv", told)
    print(f"{out / 'sheet.csv'}: {n} edits for the coder. Keep {out / 'key.csv'}.")
    return 0


@app.command
def agreement(answers: Path, key: Path, /, *, json: Flag = False) -> int:
    """How far a coder's answers agree with nocere, with intervals.

    Example: `nocere claims agreement coder/sheet.csv coder/key.csv`

    Parameters
    ----------
    answers
        The sheet with "yes" or "no" in its last column.
    key
        The key that was written with it.
    json
        Print the result as one JSON object.
    """
    from nocere.cli.output import show_json
    from nocere.core.errors import DataError
    from nocere.report.claims import share
    from nocere.scenarios.claims_review.sheet import agreement as compared

    try:
        found = compared(answers.read_bytes(), key.read_bytes())
    except OSError as e:
        raise DataError(f"Cannot read {e.filename}: {e.strerror}.") from e
    if json:
        show_json(found)
        return 0
    kappa = found["kappa"]
    print(f"Agreement {share(found['agreement'])}.")
    if kappa["value"] is not None:
        print(f"Cohen's kappa {kappa['value']:.2f} ({kappa['low']:.2f} to {kappa['high']:.2f}).")
    for name, words in (
        ("truthful_refused_by_coder", "nocere calls truthful, the coder does not"),
        ("false_accepted_by_coder", "the coder calls truthful, nocere does not"),
    ):
        print(f"{len(found[name])} rows that {words}{': ' + ', '.join(found[name]) if found[name] else ''}.")
    return 0
