"""Oracle: Go's golang.org/x/mod/sumdb (note and tlog) reads, verifies and proves what our log wrote, and the reverse."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nocere.core.errors import VerificationError
from nocere.provenance.log import Log, Proof, evidence_text, verify_evidence
from nocere.provenance.log.checkpoint import Checkpoint
from nocere.provenance.log.note import SigningKey, Verifier, open_note, sign_note
from nocere.provenance.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

# An evidence file that every later release must still verify, and write byte for byte: entry 700 of 1,000.
FROZEN_VKEY = "log.example/frozen+aad4acde+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
FROZEN = """\
c2sp.org/tlog-proof@v1
extra ZW50cnkgNzAw
index 700
ftN29M4ILreg/hP/uQ+0Ha35H6gC83eWNLg1wTHQIKE=
Qjtou+bPFZBg+Ez0EMOmp4hF+UFDWGrbe1UJ8e9Gaoc=
XdFhFobaNgVYGgNEioms92wKAR+kk59OSs8MwUiA/5I=
zIefs81oSA3lA3k/ScT+1YeSkBfV1NPipry98Ben/hY=
xOvHjlTncfL26WOT7VffqCq/bij47qBMyyBBFNoB368=
aYMbA6EgqS9fn/5sj8Lpc5VQYYq3yvRkqmxWOfRrWqg=
7PXCuV5tIXiOcU0crTYRhlPumQkveFItQ/wYD8y/lAY=
3sMtuNur8EtlIgYOK+9QOKcWCz5aHlG77+ghroOZ7dU=
oA+hI5LVOb8oze41rEJt6z6YjQg78xVxljeEJVH8E1w=
xtuUnnbP1dYUB8c6SBkhJlqwJOphMdAtxrcN79/U+to=

log.example/frozen
1000
NGxrnLicS3b6ydyyDNqG46AcCldBfBOQKOrNRTj96Vs=

— log.example/frozen qtSs3h0mPeFQwIEFXiLs4Rb/lHLWIyZPKViLNzZ0cUxe52ZUoaz+ncImboyk8sLDQUqmvVUoUpm+1E6ranakYaxrfwE=
"""
GOPATH = "/usr/share/gocode"
Ask = Callable[..., dict[str, Any]]


def plain(value: Any) -> Any:
    """JSON as Go reads it: bytes in base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    if not shutil.which("go") or not Path(GOPATH, "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("needs go and golang.org/x/mod (Debian: golang-go, golang-golang-x-mod-dev)")
    folder = tmp_path_factory.mktemp("go")
    env = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": GOPATH,
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
    }
    source = Path(__file__).parent / "go" / "tlog_oracle.go"
    subprocess.run(["go", "build", "-o", folder / "oracle", source], env=env, check=True)
    with subprocess.Popen([folder / "oracle"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as oracle:
        assert oracle.stdin and oracle.stdout

        def ask(op: str, **fields: Any) -> dict[str, Any]:
            oracle.stdin.write(json.dumps({"Op": op} | {k: plain(v) for k, v in fields.items()}) + "\n")
            oracle.stdin.flush()
            return dict(json.loads(oracle.stdout.readline()))

        yield ask
        oracle.stdin.close()


@pytest.mark.parametrize("sizes", [[1], [7, 255], [256], [257, 300, 511, 513], [70_000]])
def test_go_reads_our_tiles_and_makes_the_same_proofs(go: Ask, tmp_path: Path, sizes: list[int]) -> None:
    with Log.create(tmp_path / "log", "log.example/go", tmp_path / "k") as log:
        for size in sizes:
            log.append([b"entry %d" % i for i in range(log.size, size)])
        head = log.head()
        opened = go("open", Vkeys=[log.vkey], Note=log.checkpoint().encode())
        assert opened["Error"] == ""
        assert opened["Text"] == head.text
        prefix = str(tmp_path / "log" / "public")
        rng = random.Random(1)
        for i in {0, head.size - 1, head.size // 2, *(rng.randrange(head.size) for _ in range(40))}:
            found = go("read inclusion", Prefix=prefix, Size=head.size, Root=head.root, Index=i)
            ours = log.prove(i)
            assert found["Error"] == ""
            assert found["Leaf"] == plain(leaf_hash(b"entry %d" % i)) == plain(leaf_hash(ours.entry))
            assert (found["Proof"] or []) == plain(ours.hashes)
        for m in {1, head.size, *(rng.randrange(1, head.size + 1) for _ in range(40))}:
            found = go("read consistency", Prefix=prefix, Size=head.size, Root=head.root, Old=m)
            assert found["Error"] == ""
            assert (found["Proof"] or []) == plain(log.consistency(m))


def test_both_judge_proofs_alike(go: Ask) -> None:
    """True and spoiled proofs of random trees: the same verdict from both."""
    rng = random.Random(2)
    leaves = [leaf_hash(b"%d" % i) for i in range(1200)]

    def read(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[index]
        return node_hash(read(level - 1, 2 * index), read(level - 1, 2 * index + 1))

    agreed = {True: 0, False: 0}
    for _ in range(600):
        n = rng.randrange(1, 1200)
        m, i = rng.randrange(1, n + 1), rng.randrange(n)
        for kind in ("inclusion", "consistency"):
            proof = inclusion_proof(i, n, read) if kind == "inclusion" else consistency_proof(m, n, read)
            index, old = i, m
            spoil = rng.choice(["no", "no", "flip", "drop", "add", "swap", "index"])
            if spoil == "flip" and proof:
                j = rng.randrange(len(proof))
                proof[j] = bytes([proof[j][0] ^ 1]) + proof[j][1:]
            elif spoil == "drop" and proof:
                proof.pop(rng.randrange(len(proof)))
            elif spoil == "add":
                proof.insert(rng.randrange(len(proof) + 1), leaves[3])
            elif spoil == "swap":
                rng.shuffle(proof)
            elif spoil == "index":
                index, old = rng.randrange(n), rng.randrange(1, n + 1)
            top, older = root(n, read), root(m, read)
            try:
                if kind == "inclusion":
                    verify_inclusion(leaves[i], index, n, proof, top)
                else:
                    verify_consistency(old, n, older, top, proof)
                ours = True
            except VerificationError:
                ours = False
            found = go(kind, Proof=proof, Size=n, Root=top, Index=index, Leaf=leaves[i], Old=old, Older=older)
            assert (found["Error"] == "") == ours, (kind, n, i, m, spoil)
            agreed[ours] += 1
    assert min(agreed.values()) > 300


def test_go_and_we_sign_alike(go: Ask) -> None:
    key = SigningKey.generate("log.example/✓")
    text = "log.example/✓\n\nwith a blank line\n"
    theirs = go("sign", Skey=key.text.strip(), Text=text)
    assert theirs["Error"] == ""
    assert theirs["Text"] == sign_note(text, [key])


def test_frozen_evidence_still_verifies_here_and_in_go(go: Ask) -> None:
    leaves = [leaf_hash(b"entry %d" % i) for i in range(1000)]

    def read(level: int, index: int) -> bytes:
        return node_hash(read(level - 1, 2 * index), read(level - 1, 2 * index + 1)) if level else leaves[index]

    found = verify_evidence(FROZEN, FROZEN_VKEY)
    assert (found.index, found.size, found.root, found.entry) == (700, 1000, root(1000, read), b"entry 700")
    key = SigningKey("log.example/frozen", bytes(range(32)))
    note = sign_note(Checkpoint(key.name, 1000, root(1000, read)).text, [key])
    assert evidence_text(Proof(700, b"entry 700", tuple(inclusion_proof(700, 1000, read)), note)) == FROZEN
    # Taken apart by hand, so that Go's verdict does not rest on our parser.
    upper, checkpoint = FROZEN.split("\n\n", 1)
    lines = upper.split("\n")
    opened = go("open", Vkeys=[FROZEN_VKEY], Note=checkpoint.encode())
    assert opened["Error"] == ""
    _, size, top = opened["Text"].splitlines()
    fields = {"Index": int(lines[2].split()[1]), "Size": int(size), "Root": base64.b64decode(top)}
    proof = [base64.b64decode(line) for line in lines[3:]]
    entry = base64.b64decode(lines[1].split()[1])
    assert go("inclusion", Proof=proof, Leaf=hashlib.sha256(b"\0" + entry).digest(), **fields)["Error"] == ""
    assert go("inclusion", Proof=proof, Leaf=hashlib.sha256(b"\0x").digest(), **fields)["Error"] != ""


def canonical(note: bytes) -> bool:
    """Whether every signature is base64 in its one canonical spelling (Go also takes others, we do not)."""
    for line in note.rsplit(b"\n\n", 1)[-1].splitlines():
        encoded = line.rsplit(b" ", 1)[-1]
        try:
            if base64.b64encode(base64.b64decode(encoded)) != encoded:
                return False
        except ValueError:
            return False
    return True


def mutants(rng: random.Random, note: bytes, pieces: list[bytes]) -> bytes:
    """A note with one to three edits: bytes changed, put in, taken out; lines doubled, swapped, taken from others."""
    data = bytearray(note)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(data) + 1)
        edit = rng.randrange(6)
        if edit == 0 and at < len(data):
            data[at] = rng.choice([rng.randrange(256), data[at] ^ 1 << rng.randrange(8)])
        elif edit == 1:
            data[at:at] = rng.choice(pieces)
        elif edit == 2:
            del data[at : at + rng.choice([1, 2, 5, 40])]
        else:
            lines = bytes(data).split(b"\n")
            j, k = rng.randrange(len(lines)), rng.randrange(len(lines))
            if edit == 3:
                lines.insert(j, lines[k])
            elif edit == 4:
                lines[j], lines[k] = lines[k], lines[j]
            else:
                lines.insert(j, rng.choice(pieces))
            data = bytearray(b"\n".join(lines))
    return bytes(data)


def test_both_open_the_same_notes(go: Ask) -> None:
    """Differential fuzz: we accept nothing that Go refuses, and refuse what Go accepts for two stated reasons only."""
    rng = random.Random(3)
    known = [SigningKey.generate("log.example/a"), SigningKey.generate("log.example/b")]
    stranger = SigningKey.generate("log.example/a")
    texts = ["log.example/a\n1\nAAAA\n", "x\n", "\n", "ü\n\n\ny\n"]
    seeds = [sign_note(t, k).encode() for t in texts for k in (known[:1], known, [stranger, known[1]])]
    pieces = [
        b"\n", b"\n\n", b" ", b"\t", b"\r", b"\x00", b"\x7f", b"\xff", b"+", b"=", "— ".encode(), "\u2003".encode(), "\u0085".encode(),
        b"\xed\xa0\x80", "\ufffd".encode(), "— x AAAAAAA=".encode(), "— x AAAAAA==".encode(),
        *(k.signature_line(t).encode().strip() for k in (*known, stranger) for t in texts[:2]),
    ]  # fmt: skip
    verifiers = [k.verifier for k in known]
    vkeys = [v.vkey for v in verifiers]
    accepted = refused = 0
    for _ in range(200_000 if os.environ.get("NOCERE_SOAK") else 12_000):
        note = mutants(rng, rng.choice(seeds), pieces)
        found = go("open", Vkeys=vkeys, Note=note)
        try:
            ours = open_note(note, [Verifier.parse(vkey) for vkey in vkeys])
        except VerificationError:
            refused += 1
            lines = [line.split(b" ")[1:2] for line in note.rsplit(b"\n\n", 1)[-1].splitlines()]
            doubled = len(lines) != len({tuple(line) for line in lines})
            # Go takes other spellings of base64, and looks at the first signature of a known key only.
            assert found["Error"] or doubled or not canonical(note), note
        else:
            accepted += 1
            assert found["Error"] == "", note
            assert found["Text"] == ours.text
            assert sorted(found["Signers"]) == sorted(f"{v.name}+{v.id.hex()}" for v in ours.signers)
    assert min(accepted, refused) > 500
