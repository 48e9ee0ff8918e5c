"""`nocere target` and `nocere authorise`: check a model before an audit; permit an audit of a served model."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from nocere.core.errors import Exit, UsageError

if TYPE_CHECKING:
    from nocere.core.case import Case

app = App(
    name="target",
    help="Models: check that one keeps what an audit relies on.\n\nExample: `nocere target check model.toml`",
)
Flag = Annotated[bool, Parameter(negative="")]
WORDS = {True: "ok", False: "FAILED", None: "-"}
ROWS = 16


@app.command
def check(card: Path, /, *, cases: Path | None = None, trust: Flag = False, json: Flag = False) -> int:
    """Try a model on a few cases: answers, gradients, determinism, fingerprint.

    Exit code 1 where a promise is broken.

    Example: `nocere target check model.toml --cases plan.toml`

    Parameters
    ----------
    card
        Target card (TOML), or folder of `nocere train`.
    cases
        TOML file with a [cases] table, such as a plan; default is random pictures of the declared size.
    trust
        Open model files that can run code. Only for files that you made.
    json
        Print the checks as one JSON object.
    """
    from nocere.cli.output import show_json, table
    from nocere.targets.card import load_target
    from nocere.targets.conformance import conform, failures

    target = load_target(card, trust=trust)
    rows = _of_file(cases) if cases is not None else _drawn(target)
    done = conform(target, rows, lambda: load_target(card, trust=trust))
    if json:
        show_json(
            {
                "target": target.name,
                "fingerprint": target.fingerprint,
                "access": sorted(target.access),
                "checks": [{"name": c.name, "ok": c.ok, "told": c.told} for c in done],
            }
        )
    else:
        print(f"{target.name}, fingerprint {target.fingerprint[:12]}, access: {', '.join(sorted(target.access))}.")
        table("checks", ["check", "", "what was seen"], [[c.name, WORDS[c.ok], c.told] for c in done])
    return int(Exit.FAIL if failures(done) else Exit.PASS)


def _of_file(path: Path) -> list[Case[Any]]:
    from nocere.audit.plan import load_cases

    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("cases")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise UsageError(f"Cannot read {path}: {e}.") from e
    if not isinstance(found, dict):
        raise UsageError(f"{path} has no [cases] table.")
    loaded = load_cases(found, path.parent)
    return [loaded.load(r.id) for r in loaded.refs[:ROWS]]


def _drawn(target: Any) -> list[Case[Any]]:
    """Smooth random pictures of the size that the target declares."""
    import numpy as np

    from nocere.core.case import Case
    from nocere.core.rng import generator

    about = getattr(target, "input", None)
    declared = list(getattr(getattr(target, "port", None), "shape", ())[1:])
    size = about.size if about is not None and about.size is not None else declared[1:]
    channels = about.channels if about is not None else next(iter(declared), None)
    if channels is None or len(size) != 2 or None in size:
        raise UsageError(
            f"{target.name} does not say what size its images have.", "Give cases: --cases FILE with a [cases] table."
        )
    out: list[Case[Any]] = []
    for i in range(ROWS):
        rng = generator("target check", i)
        coarse = rng.uniform(0, 255, (channels, 4, 4))
        rough = np.kron(coarse, np.ones((-(-size[0] // 4), -(-size[1] // 4))))[:, : size[0], : size[1]]
        x = np.clip(rough + rng.normal(scale=12, size=rough.shape), 0, 255).round().astype(np.uint8)
        out.append(Case(f"picture-{i}", x))
    return out


def authorise(
    url: str,
    /,
    *,
    model: str,
    owner: str,
    key: Path,
    until: str,
    queries: int,
    out: Path,
    scope: str = "robustness audit",
) -> int:
    """Permit an audit of a model that you own and serve on another machine.

    The auditor names OUT and your public key in the target card. OUT is sent with every request.

    Example: `nocere authorise https://models.hospital.example --model lesions --owner "Radiology, A. Hospital"
    --key owner.pem --until 2026-12-31 --queries 100000 --out lesions.json`

    Parameters
    ----------
    url
        Scheme, host and port of the server.
    model
        Name of the model on the server.
    owner
        Who you are.
    key
        Your Ed25519 private key (PEM); it is made, with KEY.pub beside it, where there is none.
    until
        Last day (UTC), or an instant with a zone.
    queries
        Rows that may be asked, over all runs.
    out
        File for the authorisation.
    scope
        What for.
    """
    from datetime import UTC, datetime

    from nocere.core.canonical import dumps
    from nocere.core.files import write_atomic
    from nocere.targets.authorisation import Authorisation, instant, read_private
    from nocere.targets.kserve import origin

    if queries < 1:
        raise UsageError(f"{queries} queries allow nothing.", "Give --queries a positive number.")
    if instant(until) <= datetime.now(UTC):
        raise UsageError(f"{until} is over already.", "Give a later --until.")
    server = origin(url)[0]
    if not key.exists():
        _new_key(key)
        print(f"Made the private key {key} (keep it) and {key}.pub (give it to the auditor yourself).")
    made = Authorisation(owner, server, model, scope, until, queries).signed(read_private(key))
    write_atomic(out, dumps(made.to_json()) + b"\n")
    print(f"{owner} allows {queries} queries to {model} at {server} until {until}: {out}.")
    return 0


def _new_key(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    from nocere.core.files import write_atomic

    made = Ed25519PrivateKey.generate()
    # Temporary files are readable by their owner only, and keep that when they are renamed.
    write_atomic(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_atomic(path.with_name(path.name + ".pub"), public)
