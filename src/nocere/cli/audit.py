"""`nocere audit`: run, show, replay, and take the adversarial files out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from nocere.core.errors import Exit, VerificationError

app = App(
    name="audit",
    help="Run an audit, show what came out, and replay its examples.\n\n"
    "Example: `nocere audit run plan.toml --out audit-1`",
)

EXITS = {"PASS": Exit.PASS, "FAIL": Exit.FAIL, "INCONCLUSIVE": Exit.INCONCLUSIVE, "ERROR": Exit.UNMEASURED}
Flag = Annotated[bool, Parameter(negative="")]


@app.command
def run(
    plan: Path,
    /,
    *,
    out: Path,
    workers: int = 0,
    lanes: int = 128,
    trust: Flag = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False,
    json: Flag = False,
) -> int:
    """Run a plan into the folder OUT; run it again to go on after an interruption.

    Example: `nocere audit run plan.toml --out audit-1`

    Parameters
    ----------
    plan
        TOML file; docs/plans.md describes every field.
    out
        New folder for the bundle (readable by you only: it may hold patient data).
    workers
        Processes, with one thread each; 0 takes one a core. Changes no result.
    lanes
        Cases in flight; changes memory and speed, never a result.
    trust
        Open model files that can run code (pickles). Only for files that you made.
    quiet
        No progress.
    json
        Print measures and verdicts as one JSON object.
    """
    from nocere.audit.plan import load_spec
    from nocere.audit.runner import run_audit
    from nocere.audit.work import Source
    from nocere.cli.output import cores, progress
    from nocere.report.html import write_report

    _threads(1)
    spec = load_spec(plan, trust=trust)
    with progress(quiet) as told:
        bundle = run_audit(
            spec, out, lanes=lanes, workers=workers or cores(), source=Source(plan, trust), progress=told
        )
    write_report(bundle)
    return _tell(bundle, json)


@app.command
def show(bundle: Path, /, *, json: Flag = False, all: Flag = False) -> int:
    """Print verdicts and main measures of a finished audit.

    Example: `nocere audit show audit-1 --all`

    Parameters
    ----------
    bundle
        Folder that `nocere audit run` wrote.
    json
        Print measures and verdicts as one JSON object.
    all
        Every measure, subgroups too.
    """
    from nocere.audit.bundle import Bundle

    opened = Bundle(bundle)
    opened.verify()
    return _tell(opened, json, everything=all)


@app.command
def replay(
    bundle: Path,
    /,
    *,
    target: Path | None = None,
    threads: int = 2,
    trust: Flag = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False,
    json: Flag = False,
) -> int:
    """Open every adversarial file again, check it, and ask the model again with one row a call.

    Example: `nocere audit replay audit-1 --target model`

    Parameters
    ----------
    bundle
        Folder that `nocere audit run` wrote.
    target
        The model; default is where the audit found it.
    threads
        Threads of the model; audits run with one, so that two are another order of sums.
    trust
        Open model files that can run code (pickles).
    quiet
        No progress.
    json
        Print the result as one JSON object.
    """
    from nocere.audit.bundle import Bundle
    from nocere.audit.replay import replay as again
    from nocere.cli.output import progress, show_json
    from nocere.targets.card import load_target

    _threads(threads)
    opened = Bundle(bundle)
    place = target or opened.run.get("sources", {}).get("target")
    if place is None:
        raise VerificationError("The bundle does not say where its model is.", "Give it with --target.")
    with progress(quiet) as told:
        result = again(opened, load_target(place, trust=trust), progress=lambda d, n: told("replay", d, n))
    if json:
        show_json({"bundle": opened.hash, "replayed": result.replayed, "failed": list(result.failed)})
    else:
        print(f"{result.replayed} of {result.total} adversarial files replay on the model ({opened.hash[:12]}).")
        for why in result.failed:
            print(f"  does not replay: {why}")
    return int(Exit.UNVERIFIED if result.failed else Exit.PASS)


@app.command
def exhibits(bundle: Path, /, *, out: Path, unmarked: Flag = False) -> int:
    """Write the adversarial files of an audit and their originals into a folder, with a list of them (CSV).

    Example: `nocere audit exhibits audit-1 --out exhibits`

    Parameters
    ----------
    bundle
        Folder that `nocere audit run` wrote.
    out
        New folder (readable by you only: it may hold patient data).
    unmarked
        DICOM without the marks that keep an exhibit from being mistaken for a patient's file. Only into the test store
        of a gate that is to find them.
    """
    from nocere.audit.bundle import Bundle
    from nocere.audit.export import LIST, export

    found = export(Bundle(bundle), out, unmarked=unmarked)
    print(f"{len(found)} adversarial files and their originals: {out / LIST}")
    if unmarked and found:
        print("They carry no marks: keep them in the test store of a gate, and delete them afterwards.")
    return int(Exit.PASS)


def _threads(n: int) -> None:
    try:
        import torch
    except ModuleNotFoundError:
        return
    torch.set_num_threads(n)


def _unmeasured(bundle: Any) -> list[str]:
    """One line for every cell in which cases could not be measured, with the commonest reason."""
    lines = []
    for cell in bundle.plan["cells"]:
        bad = [o for o in bundle.outcomes(cell["name"]) if o.kind in ("errored", "not_reached", "not_applicable")]
        if bad:
            why = Counter(o.why for o in bad).most_common(1)[0][0]
            n = len({o.case_id for o in bad})
            lines.append(f"ATTENTION    {cell['name']}: {n} of {len(cell['cases'])} cases not measured: {why}")
    return lines


def _tell(bundle: Any, as_json: bool, *, everything: bool = False) -> int:
    from nocere.audit.criteria import overall
    from nocere.cli.output import show_json, table

    word = overall(v["word"] for v in bundle.verdicts)
    code = EXITS[word] if word is not None else Exit.PASS
    if as_json:
        measures = [m.to_json() for m in bundle.measures]
        show_json(
            {
                "bundle": bundle.hash,
                "verdict": word,
                "verdicts": bundle.verdicts,
                "measures": measures,
                "indicators": [i.to_json() for i in bundle.indicators],
            }
        )
        return int(code)
    rows = [m for m in bundle.measures if everything or (m.group == "all" and ":" not in m.key)]
    table(
        bundle.plan["name"],
        ["cell", "radius", "measure", "group", "value", "95 % interval", "n"],
        [
            [
                m.cell or ("clean" if m.line is None else f"all cells up to line {m.line}"),
                "" if m.radius is None else f"{m.radius:g} {m.unit}".replace("_", " "),
                m.key,
                m.group,
                "-" if m.value is None else f"{m.value:.4g}",
                m.why if m.low is None or m.high is None else f"{m.low:.3f} to {m.high:.3f}",
                f"{m.n}" if m.k is None else f"{m.k} of {m.n}",
            ]
            for m in rows
        ],
    )
    for line in _unmeasured(bundle):
        print(line)
    for i in bundle.indicators:
        at = "" if i.radius is None else f" at {i.radius:g}"
        print(f"INDICATOR    {i.key}, {', '.join(i.cells)}{at}: {i.seen} {i.advice}")
    for v in bundle.verdicts:
        print(f"{v['word']:<13}{v['criterion']['name']}: {v['why']}")
    if not bundle.verdicts:
        print("No criterion was written before the run: these are measurements, not verdicts.")
    report = bundle.folder / "report.html"
    print(f"Report: {report}" if report.exists() else f"Report: nocere report {bundle.folder}")
    return int(code)
