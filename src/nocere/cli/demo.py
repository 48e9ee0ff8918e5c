"""`nocere demo`: the paper's figure on this machine, from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

PLAN = """\
name = "Demo: an undefended lesion classifier"
intended_use = "None: a demonstration on synthetic lesions"
target = "model"
seed = 1
preset = "image.standard"
not_tested = ["real images: every case here is a phantom"]
[cases]
phantom = "image.dermoscopy"
n = 200
seed = 7
split = "test"
[[criterion]]
name = "Clean accuracy"
measure = "accuracy"
at_least = 0.8
[[criterion]]
name = "Sensitivity under changes of 2 grey levels"
measure = "sensitivity"
cell = "noise-linf"
radius = 2
at_least = 0.8
"""


def demo(
    *,
    out: Path = Path("demo"),
    only: Literal["provenance", "claims", "notes"] | None = None,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False,
) -> int:
    """Train a lesion classifier on phantoms, audit it, and write the report with the paper's figure.

    Example: `nocere demo`, or `nocere demo --only provenance`

    Parameters
    ----------
    out
        Folder for model, plan, audit and report.
    only
        provenance: the demo of capture, log, gate and investigator instead; claims: that of a payer's denial model;
        notes: that of an opioid-risk model. Each takes about a minute.
    quiet
        No progress.
    """
    from nocere.audit.plan import load_spec
    from nocere.audit.runner import run_audit
    from nocere.audit.work import Source
    from nocere.cases.phantoms.sets import DERMOSCOPY_LABELS, dermoscopy
    from nocere.cli.output import cores, progress
    from nocere.core.files import private_folder, write_atomic
    from nocere.report.html import write_report
    from nocere.targets.reference.store import CARD
    from nocere.targets.reference.train import Recipe, train

    private_folder(out)
    if only == "provenance":
        from nocere.cli.demo_provenance import demo as provenance

        with progress(quiet) as told:
            lines = provenance(out / "provenance", told)
        print("\n".join(lines))
        return 0
    if only == "claims":
        from nocere.cli.demo_claims import demo as claims

        with progress(quiet) as told:
            lines = claims(out / "claims", told)
        print("\n".join(lines))
        return 0
    if only == "notes":
        from nocere.cli.demo_notes import demo as notes

        with progress(quiet) as told:
            lines = notes(out / "notes", told)
        print("\n".join(lines))
        return 0
    write_atomic(out / "plan.toml", PLAN.encode())
    with progress(quiet) as told:
        if not (out / "model" / CARD).exists():
            told("drawing phantoms", 0, 2)
            training = dermoscopy(n=2000, split="train")
            told("drawing phantoms", 1, 2)
            validation = dermoscopy(n=300, split="val")
            told("drawing phantoms", 2, 2)
            train(
                training, validation, DERMOSCOPY_LABELS, out / "model", Recipe(epochs=10), name="demo classifier",
                progress=lambda e, of, _: told("training", e, of),
            )  # fmt: skip
        source = Source(out / "plan.toml", trust=False)
        bundle = run_audit(load_spec(source.plan), out / "audit", workers=cores(), source=source, progress=told)
    write_report(bundle)
    for line in _story(bundle):
        print(line)
    print(f"\nOpen the report: {(out / 'audit' / 'report.html').resolve()}")
    return 0


def _story(bundle: Any) -> list[str]:
    """The figures of the demo in words, taken from the bundle."""
    m = {(x.key, x.cell, x.radius): x for x in bundle.measures if x.group == "all"}

    def say(key: str, cell: str, radius: float | None) -> str:
        x = m[key, cell, radius]
        if x.value is None:
            return str(x.why)
        return f"{x.value:.3f} ({x.low:.3f} to {x.high:.3f}, n = {x.n})"

    control = m["draw_flip_share", "control-random", 2.0]
    confident = m.get(("confident_flip_from:benign", "noise-confident", 2.0))
    lines = [
        "Phantoms, not patients. What happened:",
        f"  accuracy, clean:                        {say('accuracy', '', None)}",
        f"  accuracy, 2 grey levels of noise:       {say('accuracy', 'noise-linf', 2.0)}",
        f"  accuracy, camera angle chosen per case: {say('accuracy', 'camera-worst', 15.0)}",
        f"  random noise of the same size flips:    {control.k} of {control.n} draws, upper limit {control.high:.2g}",
    ]
    if confident is not None and confident.value is not None:
        lines.append(f"  benign above .95 to malignant above .95: {confident.k} of {confident.n} cases")
    lines += [f"  {v['word']}: {v['criterion']['name']}: {v['why']}" for v in bundle.verdicts]
    return lines
