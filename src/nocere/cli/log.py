"""`nocere log`: make, write, prove, check and keep a log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from nocere.core.errors import VerificationError

app = App(
    name="log",
    help="The tamper-evident log: make one, append, prove, verify, check, back up, and look after its keys.\n\n"
    "Example: `nocere log init site --origin log.hospital.example/2026`",
)


@app.command
def init(site: Path, /, *, origin: str) -> int:
    """Make a site: a log, its keys, and one agent for every role. Nothing else ever makes one.

    Back up SITE/private with care: it holds keys and the vault. SITE/log/public may be given to anybody.

    Example: `nocere log init site --origin log.hospital.example/2026`

    Parameters
    ----------
    site
        New folder.
    origin
        Name of the log for ever: a URL without scheme.
    """
    from nocere.provenance.site import Site

    with Site.create(site, origin) as made:
        print(f"Made the log {made.log.origin} in {site}. Its verifier key, for everybody who checks evidence:")
        print(made.log.vkey)
    return 0


@app.command
def append(site: Path, files: list[Path], /) -> int:
    """Append audit bundles (folders) and files: their hashes, with a receipt each.

    A bundle is checked first: its files must be those of its manifest.

    Example: `nocere log append site audit-1`

    Parameters
    ----------
    site
        The site.
    files
        Folders written by `nocere audit run`, or any files.
    """
    from nocere.provenance.capture import load
    from nocere.provenance.fingerprint.reading import received_hash
    from nocere.provenance.site import Draft, Site

    drafts = []
    for path in files:
        if path.is_dir():
            from nocere.audit.bundle import Bundle

            bundle = Bundle(path)
            bundle.verify()
            drafts.append(Draft("bundle", {"manifest": bundle.hash}, label=str(path)))
        else:
            drafts.append(Draft.committed("file", {}, {"f0": received_hash(load(path))}, label=str(path)))
    with Site.open(site) as at:
        for path, index in zip(files, at.write("audit", drafts), strict=True):
            print(f"{index}\t{path}")
    return 0


@app.command
def prove(site: Path, index: int, /, *, out: Path | None = None) -> int:
    """Write the evidence file of one record: it verifies offline, for ever, with the log's verifier key.

    Example: `nocere log prove site 17 --out 17.tlog-proof`

    Parameters
    ----------
    site
        The site.
    index
        Place of the record in the log.
    out
        File to write (C2SP tlog-proof); standard output if none is given.
    """
    from nocere.core.files import write_atomic
    from nocere.provenance.log.log import Log
    from nocere.provenance.log.proof import evidence_text
    from nocere.provenance.site import LOG

    with Log.open(site / LOG) as log:
        text = evidence_text(log.prove(index))
    if out is None:
        print(text, end="")
    else:
        write_atomic(out, text.encode())
    return 0


@app.command
def verify(proof: Path, /, *, vkey: str) -> int:
    """Check an evidence file against the log's verifier key, offline. Exit code 4 if it does not verify.

    Example: `nocere log verify 17.tlog-proof --vkey 'log.hospital.example/2026+1a2b3c4d+A...'`

    Parameters
    ----------
    proof
        Evidence file.
    vkey
        Verifier key of the log, from a source that you trust.
    """
    from nocere.core.errors import DataError
    from nocere.provenance.log.proof import verify_evidence
    from nocere.provenance.records import parse

    try:
        text = proof.read_bytes()
    except OSError as e:
        raise DataError(f"Cannot read {proof}: {e.strerror}.", "Correct the path.") from e
    found = verify_evidence(text, vkey)
    print(f"Verified: entry {found.index} of the log {found.origin}, under its checkpoint of {found.size} entries.")
    try:
        body = parse(found.entry, found.index).body
        print(f"It is a {body['type']} record by {body['agent']}, whose clock said {body['clock']}.")
    except VerificationError:
        print("It is not a record of nocere.")
    return 0


@app.command
def fsck(site: Path, /) -> int:
    """Rebuild the log from its entries and check everything: tiles, checkpoint, key memory, authors, vault.

    Exit code 4 if anything is wrong; every problem is one line.

    Example: `nocere log fsck site`

    Parameters
    ----------
    site
        The site.
    """
    from nocere.cli.output import progress
    from nocere.provenance.check import check_site

    with progress(quiet=False) as told:
        size, problems = check_site(site, told)
    for problem in problems:
        print(problem)
    if problems:
        raise VerificationError(
            f"{len(problems)} problem(s) in {site}.", "Keep a copy as it is before you repair anything."
        )
    print(f"{size} entries: log, keys, records and vault agree.")
    return 0


@app.command
def show(site: Path, /, *, last: int = 20) -> int:
    """Print the newest records: index, what, who, the clock they claim.

    Example: `nocere log show site --last 50`

    Parameters
    ----------
    site
        The site.
    last
        How many.
    """
    from nocere.provenance.log.log import Log
    from nocere.provenance.records import parse
    from nocere.provenance.site import LOG

    with Log.open(site / LOG) as log:
        start = max(log.size - last, 0)
        for index, entry in enumerate(log.entries(start), start):
            body = parse(entry, index).body
            more = {k: body[k] for k in ("kind", "action", "role", "reason", "verdict", "mode") if k in body}
            told = " ".join(",".join(v) if isinstance(v, list) else str(v) for v in more.values())
            print(f"{index}\t{body['clock']}\t{body['agent']}\t{body['type']}\t{told}")
    return 0


@app.command
def register(site: Path, route: Path, /) -> int:
    """Register the recipe of a route, so that the gate may use it.

    Example: `nocere log register site route.json`

    Parameters
    ----------
    site
        The site.
    route
        JSON file; docs/provenance.md describes it.
    """
    from nocere.cli.provenance import load_route
    from nocere.provenance.gate.route import register as register_recipe
    from nocere.provenance.site import Site

    with Site.open(site) as at:
        print(register_recipe(at, load_route(route).recipe))
    return 0


@app.command
def enrol(site: Path, agent: str, /, *, role: str) -> int:
    """Give an agent a new key. A key that it had is revoked right after.

    Example: `nocere log enrol site ct-3 --role capture`

    Parameters
    ----------
    site
        The site.
    agent
        Name of the agent; no patient data.
    role
        registrar, capture, amend, gate or audit.
    """
    from nocere.provenance.site import Site

    with Site.open(site) as at:
        print(at.enrol(agent, role))
    return 0


@app.command
def revoke(site: Path, agent: str, /) -> int:
    """Revoke an agent's keys from now on. What it signed before stays valid.

    Example: `nocere log revoke site ct-3`

    Parameters
    ----------
    site
        The site.
    agent
        Name of the agent.
    """
    from nocere.provenance.site import Site

    with Site.open(site) as at:
        print(*at.revoke(agent), sep="\n")
    return 0


@app.command
def rotate(site: Path, /, *, retire: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Give the log itself a new key; the old one signs too until you call this again with --retire.

    Example: `nocere log rotate site`

    Parameters
    ----------
    site
        The site.
    retire
        End the overlap: the oldest key signs no more.
    """
    from nocere.provenance.site import Site

    with Site.open(site) as at:
        if retire:
            at.retire()
        print(at.log.vkey if retire else at.rotate())
    return 0


@app.command
def erase(site: Path, index: int, /) -> int:
    """Forget the secrets of a record, and of the records about it: nobody can open them any more. The log stays whole.

    Example: `nocere log erase site 17`

    Parameters
    ----------
    site
        The site.
    index
        Place of the record in the log.
    """
    from nocere.provenance.site import Site

    with Site.open(site) as at:
        erased = at.erase(index)
    of = f"record {index}" if len(erased) == 1 else f"records {', '.join(map(str, erased))}"
    print(f"The secrets of {of} are erased here. Erase them in every backup of the vault too.")
    return 0


@app.command
def backup(site: Path, to: Path, /) -> int:
    """Copy log and vault, consistent while others write. Keys are not copied: keep them apart.

    Example: `nocere log backup site /mnt/backup/site-1`

    Parameters
    ----------
    site
        The site.
    to
        New folder.
    """
    from nocere.provenance.keep import backup_site

    print(f"{backup_site(site, to)} entries copied to {to}.")
    return 0


@app.command
def restore(copy: Path, site: Path, /) -> int:
    """Put a backup back. A copy older than what the log has published is brought forward or refused: never a fork.

    Example: `nocere log restore /mnt/backup/site-1 site`

    Parameters
    ----------
    copy
        A folder made by `nocere log backup`.
    site
        The site, whose keys are in place and whose log database or vault is lost.
    """
    from nocere.provenance.keep import restore_site

    size = restore_site(copy, site)
    print(f"Restored: {size} entries. Check it: nocere log fsck {site}")
    print("If the vault came back too, so did secrets that were erased after this backup: erase them again.")
    return 0
