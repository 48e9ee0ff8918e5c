"""`nocere`: the command, its error handling and its exit codes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from inspect import cleandoc

from cyclopts import App, CycloptsError

import nocere
from nocere.core.errors import Exit, NocereError

app = App(
    name="nocere",
    version=nocere.__version__,
    help="""Probe, protect and prove medical machine learning: first, do no harm.

    Start with `nocere demo`. Then train or point at your own model and run an audit:

        nocere train --phantom image.dermoscopy --out model
        nocere audit run plan.toml --out audit-1
        nocere audit show audit-1

    Or prove that a model saw what was captured:

        nocere log init site --origin log.hospital.example/2026
        nocere capture scans --site site
        nocere investigate suspect.dcm --site site

    Exit codes: 0 passed (or no criterion), 1 a criterion FAILED, 2 wrong input, 3 INCONCLUSIVE, 4 does not verify,
    5 something is missing, 6 cannot write, 7 a criterion could not be measured, 70 a fault of nocere, 130 interrupted
    (run the same command again to go on).
    """,
    suppress_keyboard_interrupt=False,
)
# Help of the lazily imported commands stands here, so that `nocere --help` imports none of them.
COMMANDS = {
    "demo": (
        "nocere.cli.demo:demo",
        """The paper's figure on this machine: train, audit and report on phantoms.

        A few minutes on two cores. Run it again to go on after an interruption.

        Example: `nocere demo --out demo`
        """,
    ),
    "train": (
        "nocere.cli.train:train",
        """Train a reference classifier on phantoms or your own images.

        Its threshold is chosen on validation cases, and it is stored with all that an audit needs.

        Example: `nocere train --phantom image.dermoscopy --out model`, or
        `nocere train cases.toml --labels benign --labels malignant --out model`
        """,
    ),
    "audit": ("nocere.cli.audit:app", "Run an audit, show what came out, replay its examples."),
    "log": ("nocere.cli.log:app", "The tamper-evident log: make one, append, prove, verify, check, look after keys."),
    "capture": (
        "nocere.cli.provenance:capture",
        """Fingerprint files at the moment of capture and log them.

        Example: `nocere capture /from-the-scanner --site site`
        """,
    ),
    "amend": (
        "nocere.cli.provenance:amend",
        """Record an authorised change of a captured file: merge, rename, de-identification, correction.

        Example: `nocere amend ct.dcm ct-merged.dcm --reason merge --site site`
        """,
    ),
    "gate": (
        "nocere.cli.provenance:gate",
        """Check files as the gate before a model does, and log what the model would be shown.

        Example: `nocere gate incoming.dcm --site site --route route.json`
        """,
    ),
    "investigate": (
        "nocere.cli.provenance:investigate",
        """Say what became of a file since it was captured; write an evidence package.

        Example: `nocere investigate original.dcm suspect.dcm --site site --out evidence`
        """,
    ),
    "reuse": (
        "nocere.cli.reuse:reuse",
        """Find one photograph that is submitted under two patients or claims.

        Example: `nocere reuse claims.csv --group claim --out found`
        """,
    ),
    "claims": (
        "nocere.cli.claims:app",
        "Claims models: review an audit in dollars and rules, and have its edits checked by a coder.",
    ),
    "notes": (
        "nocere.cli.notes:app",
        "Clinical notes: verify an edit, scan a note, review an audit of wordings.",
    ),
    "target": ("nocere.cli.target:app", "Models: check that one keeps what an audit relies on."),
    "authorise": (
        "nocere.cli.target:authorise",
        """Permit an audit of a model that you own and serve on another machine.

        Example: `nocere authorise https://models.hospital.example --model lesions --owner "A. Hospital" --key
        owner.pem --until 2026-12-31 --queries 100000 --out lesions.json`
        """,
    ),
    "shortcuts": (
        "nocere.cli.shortcuts:shortcuts",
        """Tell how much of the label needs no lesion: thumbnails, borders, corners, file forms, attributes.

        Example: `nocere shortcuts plan.toml --out shortcuts`
        """,
    ),
    "report": (
        "nocere.cli.report:report",
        """Write the report of an audit again, or one that may leave the house.

        Example: `nocere report audit-1`, or `nocere report audit-1 --share --key site.key`
        """,
    ),
    "list": (
        "nocere.cli.info:list_things",
        """List attacks, threats, datasets, phantoms, targets or measures that plans can name.

        Example: `nocere list attacks`
        """,
    ),
    "doctor": (
        "nocere.cli.info:doctor",
        """Check that this machine can run audits, and say what is missing.

        Example: `nocere doctor`
        """,
    ),
}
for _name, (_place, _help) in COMMANDS.items():
    app.command(_place, name=_name, help=cleandoc(_help))
app.register_install_completion_command()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; errors of the user become one sentence on standard error."""
    try:
        result = app(argv, exit_on_error=False, print_error=True, result_action="return_value")
    except NocereError as e:
        print(f"nocere: {e}", file=sys.stderr)
        return int(e.exit_code)
    except CycloptsError:
        return int(Exit.USAGE)
    except KeyboardInterrupt:
        print("nocere: interrupted; run the same command again to go on.", file=sys.stderr)
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        return int(Exit.PASS)
    except Exception:
        traceback.print_exc()
        print("nocere: this is a fault of nocere, not yours; please report the lines above.", file=sys.stderr)
        return int(Exit.INTERNAL)
    return int(result) if isinstance(result, int) else int(Exit.PASS)


def entry() -> None:
    """Console script."""
    sys.exit(main())
