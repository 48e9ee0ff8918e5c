"""`nocere notes`: whether two wordings of a note say the same; what is in a note; an audit of wordings reviewed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from nocere.clinical.notes.lexicon import Lexicon
    from nocere.clinical.notes.model import Verified

Flag = Annotated[bool, Parameter(negative="")]

app = App(
    name="notes",
    help="Clinical notes: verify an edit, scan a note, review an audit of wordings.\n\n"
    "Example: `nocere notes verify before.txt after.txt`",
)


@app.command
def verify(original: Path, edited: Path, /, *, lexicon: Path | None = None, json: Flag = False) -> int:
    """Say whether an edited note says clinically the same, edit by edit.

    Every edit is graded: A surface, B same concept, C coding variant (a coder would bill it differently),
    D contradiction. What is not known is refused. Exit code 0: accepted; 1: refused.

    Example: `nocere notes verify before.txt after.txt`

    Parameters
    ----------
    original
        Text file (UTF-8).
    edited
        The same note, edited.
    lexicon
        Your own wordings beside the packaged ones: a table in the form of docs/notes.md.
    json
        Print the result as one JSON object.
    """
    from nocere.cli.output import show_json
    from nocere.clinical.notes.verify import verify as verified

    found = verified(_text(original), _text(edited), lexicon=_lexicon(lexicon))
    if json:
        show_json(
            {
                "accepted": found.accepted,
                "grade": found.grade,
                "reason": found.reason,
                "why": found.why,
                "edits": [e.to_json() for e in found.edits],
            }
        )
    else:
        print("\n".join(told(found)))
    return 0 if found.accepted else 1


def told(found: Verified) -> list[str]:
    """A verdict in words, one line an edit."""
    lines = [f"Accepted, grade {found.grade}." if found.accepted else f"Refused ({found.reason}): {found.why}"]
    for e in found.edits:
        codes = f" [{e.codes[0]} -> {e.codes[1]}]" if any(e.codes) else ""
        evidence = f" ({'; '.join(e.evidence)})" if e.evidence else ""
        lines.append(f"  {e.grade or '-'}  {e.before!r} -> {e.after!r}{codes}: {e.why}{evidence}")
    return lines


@app.command
def scan(note: Path, /, *, lexicon: Path | None = None, json: Flag = False) -> int:
    """Show what is in a note: concepts with codes and what is said of them, numbers, sides.

    Example: `nocere notes scan visit.txt`

    Parameters
    ----------
    note
        Text file (UTF-8).
    lexicon
        Your own wordings beside the packaged ones.
    json
        Print the result as one JSON object.
    """
    from dataclasses import asdict

    from nocere.cli.output import show_json
    from nocere.clinical.notes.scan import scan as scanned

    text = _text(note)
    found = scanned(text, _lexicon(lexicon))
    if json:
        show_json({k: v for k, v in asdict(found).items() if k != "text"})
        return 0
    print(f"{len(found.sections)} sections, {len(found.sentences)} sentences")
    for m in found.mentions:
        print(f"  {m.of(text)!r}: {m.concept} [{m.system} {m.code}], {m.assertion.label}")
    for q in found.quantities:
        print(f"  {q.of(text)!r}: {q.kind} {q.value} {q.unit}".rstrip())
    for s in found.sides:
        print(f"  {s.of(text)!r}: side {s.side}")
    return 0


@app.command
def review(plan: Path, bundle: Path, /, *, trust: Flag = False, rewrites: Flag = False, json: Flag = False) -> int:
    """Write the notes report of a finished audit: notes.html and notes.json in its folder.

    The audit must have been run with preset = "notes.standard". Flips by grade, the swaps that carry them, universal
    phrases, negative controls, word by word examples.

    Example: `nocere audit run plan.toml --out audit-1` and then `nocere notes review plan.toml audit-1`

    Parameters
    ----------
    plan
        The plan of the audit.
    bundle
        Folder that `nocere audit run` wrote.
    trust
        Open model files that can run code (pickles).
    rewrites
        Show turned notes of your own data word by word. The report then holds patients' data.
    json
        Print the review as one JSON object.
    """
    from nocere.audit.bundle import Bundle
    from nocere.audit.plan import load_spec
    from nocere.cli.output import show_json
    from nocere.report.notes import summary, write_notes
    from nocere.scenarios.notes_review.review import review as reviewed
    from nocere.scenarios.notes_review.review import write_review

    opened = Bundle(bundle)
    opened.verify()
    spec = load_spec(plan, trust=trust)
    found = reviewed(opened, spec.cases, spec.target)
    write_review(found, bundle)
    page = write_notes(found, bundle, rewrites=rewrites)
    if json:
        show_json(found)
    else:
        print("\n".join(summary(found)))
        print(f"Report: {page}")
    return 0


def _text(path: Path) -> str:
    """The text of a note file.

    Raises:
        DataError: no such file, or not a note.
    """
    from nocere.cases.note import read_note
    from nocere.core.errors import DataError

    try:
        return read_note(path.read_bytes(), str(path))[0]
    except OSError as e:
        raise DataError(f"Cannot read {path}: {e.strerror}.") from e


def _lexicon(path: Path | None) -> Lexicon | None:
    from nocere.clinical.notes.lexicon import load_lexicon

    return None if path is None else load_lexicon().extended(load_lexicon(path).entries)
