"""`nocere`: the command, its error handling and its exit codes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

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

    Exit codes: 0 passed (or no criterion), 1 a criterion FAILED, 2 wrong input, 3 INCONCLUSIVE, 4 does not verify,
    5 something is missing, 6 cannot write, 7 a criterion could not be measured, 70 a fault of nocere.
    """,
    default_parameter=None,
)
app.command(
    "nocere.cli.demo:demo", name="demo", help="The paper's figure on this machine: train, audit and report on phantoms."
)
app.command("nocere.cli.train:train", name="train", help="Train a reference classifier on phantoms or your own images.")
app.command("nocere.cli.audit:app", name="audit", help="Run an audit, show what came out, replay its examples.")
app.command(
    "nocere.cli.report:report",
    name="report",
    help="Write the report of an audit again, or one that may leave the house.",
)
app.command(
    "nocere.cli.info:list_things", name="list", help="List attacks, threats, data sets, phantoms, targets or measures."
)
app.command("nocere.cli.info:doctor", name="doctor", help="Check that this machine can run audits.")
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
