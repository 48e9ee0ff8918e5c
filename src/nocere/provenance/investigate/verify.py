#!/usr/bin/env python3
"""Check a nocere evidence package offline, with nothing but Python 3.11 and the package `cryptography`.

    python verify.py PACKAGE --vkey 'log.hospital.example/2026+1a2b3c4d+A...' [--suspect FILE]

Written apart from nocere on purpose: it imports none of it. Exit code 0: every check passed; 1: one failed.
What it checks, in this order: the files are the listed ones; every record is in the log under a checkpoint signed by
the log's key; its author's key was in office; what was disclosed is what was committed to; the stated differences
follow from the two fingerprints. What it cannot see: key records that were left out of the package (a revocation), and
what happened before capture.
"""

import argparse
import base64
import hashlib
import hmac
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

UNBOUND = {"UNREGISTERED", "UNDECODABLE", "EVIDENCE-INVALID"}
ROLES = {"capture": "capture", "amendment": "amend", "key": "registrar", "recipe": "registrar", "inference": "gate",
         "override": "gate", "bundle": "audit", "file": "audit"}  # fmt: skip


class Bad(Exception):
    """A check failed."""


def need(condition, sentence):
    if not condition:
        raise Bad(sentence)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def unb64(text):
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "base64 is not canonical")
    return data


# --- signed notes and the log (C2SP signed-note, tlog-checkpoint, tlog-proof; RFC 6962) ---------------------------


def parse_vkey(vkey):
    fields = vkey.split("+", 2)
    need(len(fields) == 3 and all(fields), "the verifier key is malformed: it reads NAME+ID+BASE64")
    name, key_id, encoded = fields
    try:
        data = unb64(encoded)
    except ValueError:
        raise Bad("the verifier key is malformed: it does not end in base64") from None
    need(len(data) == 33 and data[0] == 1, "the key is not Ed25519")
    need(sha(name.encode(), b"\n", data)[:4].hex() == key_id, "the key does not match its id")
    return name, bytes.fromhex(key_id), data[1:]


def open_note(note, vkey):
    """The text of a note that `vkey` signed."""
    name, key_id, public = parse_vkey(vkey)
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    for line in lines.splitlines():
        need(line.startswith("— "), "malformed signature line")
        signer, _, encoded = line[2:].partition(" ")
        data = unb64(encoded)
        if signer == name and data[:4] == key_id:
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(data[4:], text.encode())
            except InvalidSignature:
                raise Bad(f"the signature of {name} is wrong") from None
            return text
    raise Bad(f"no signature of {name}")


def climb(leaf, index, size, path):
    """The root that a leaf and its inclusion path lead to (RFC 9162, 2.1.3.2)."""
    need(0 <= index < size, "the index is outside of the log")
    at, last, left = leaf, size - 1, list(path)
    while last > 0:
        if index % 2 or index == last:
            while index % 2 == 0 and last > 0:
                index, last = index >> 1, last >> 1
            if last == 0:
                break
            need(left, "the path is too short")
            at = sha(b"\x01", left.pop(0), at)
        else:
            need(left, "the path is too short")
            at = sha(b"\x01", at, left.pop(0))
        index, last = index >> 1, last >> 1
    need(not left, "the path is too long")
    return at


def read_proof(text, vkey):
    """(index, entry, signed checkpoint text) of a tlog-proof file that verifies."""
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    need(lines[0] == "c2sp.org/tlog-proof@v1" and lines[1].startswith("extra "), "not a proof file")
    entry, index = unb64(lines[1][6:]), int(lines[2].removeprefix("index "))
    checkpoint = open_note(note, vkey)
    origin, size, root = checkpoint.split("\n")[:3]
    need(origin == parse_vkey(vkey)[0], "the checkpoint is of another log")
    need(climb(sha(b"\x00", entry), index, int(size), map(unb64, lines[3:])) == unb64(root), "it is not in the log")
    return index, entry.decode(), checkpoint


# --- authors -------------------------------------------------------------------------------------------------------


def check_authors(entries):
    """Replay the key records and check the author of every record. Returns index -> body."""
    keys, bodies = [], {}
    for index, entry in sorted(entries.items()):
        body = json.loads(entry.rpartition("\n\n")[0])
        bodies[index] = body
        if index == 0:
            need(body["type"] == "key" and body["role"] == "registrar", "entry 0 does not enrol a registrar")
            open_note(entry, body["vkey"])
            keys.append([body["vkey"], "registrar", -1, None])
            continue
        good = [
            vkey for vkey, role, enrolled, revoked in keys
            if enrolled < index and (revoked is None or index < revoked)
            and role == ROLES.get(body["type"]) and parse_vkey(vkey)[0] == body["agent"] and signed(entry, vkey)
        ]  # fmt: skip
        need(good, f"record {index} ({body['type']}) is not signed by a key in office for it")
        if body["type"] == "key" and body["action"] == "enrol":
            keys.append([body["vkey"], body["role"], index, None])
        elif body["type"] == "key" and body["action"] == "revoke":
            for key in keys:
                key[3] = index if key[0] == body["vkey"] and key[3] is None else key[3]
    return bodies


def signed(entry, vkey):
    try:
        open_note(entry, vkey)
    except Bad:
        return False
    return True


# --- fingerprints (docs/spec/fingerprint-1.md) ---------------------------------------------------------------------


def prefixed(part):
    return len(part).to_bytes(8, "big") + part


def tier(label, *parts):
    return sha(*(prefixed(p) for p in (b"nocere-fp/1", label.encode(), *parts)))


def tree(level):
    while len(level) > 1:
        pairs = [sha(b"\x01", level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0] if level else sha()


def frames_of(fp):
    frames = [base64.b64decode(f) for f in fp["detail"]["tiles"]]
    return [[f[i : i + 32] for i in range(0, len(f), 32)] for f in frames]


def check_fingerprint(fp):
    """F2 follows from the tile leaves, F3 from the attributes; of notes and JSON only digests are disclosed."""
    if "detail" not in fp:
        need(fp["kind"] in ("note", "json"), "the detail of a fingerprint is missing")
        return
    detail, kind = fp["detail"], fp["kind"].encode()
    named = sorted((k.encode("utf-8", "surrogatepass"), v) for k, v in detail["meaning"].items())
    values = [b"\x00" if v is None else b"\x01" + v.encode("utf-8", "surrogatepass") for _, v in named]
    f3 = tier("meaning", kind, b"".join(prefixed(n) + prefixed(v) for (n, _), v in zip(named, values, strict=True)))
    need(f3.hex() == fp["f3"], "F3 does not follow from the attributes")
    shape = detail["shape"]
    if shape is None:
        need(tier("no samples", kind, f3).hex() == fp["f2"], "F2 does not follow from F3")
        return
    order = ("frames", "rows", "columns", "samples", "bits", "number", "tile_rows", "tile_columns")
    header = b"".join(prefixed(str(shape[f]).encode()) for f in order)
    head = tree([sha(b"\x02", tree(leaves)) for leaves in frames_of(fp)])
    need(tier("pixels", header, head).hex() == fp["f2"], "F2 does not follow from the tiles")


def tiers_of(fp):
    f4 = json.dumps(fp["f4"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return {**{n: fp[n] for n in ("f0", "f1", "f2", "f2c", "f3", "f5") if fp[n] is not None}, "f4": sha(f4).hex()}


def differences(a, b):
    """What differs, as the package must state it."""
    x, y = a.get("detail", {}), b.get("detail", {})
    meaning, tiles = (x.get("meaning", {}), y.get("meaning", {})), []
    if x.get("shape") and x["shape"] == y.get("shape") and a["f2"] != b["f2"]:
        for i, (p, q) in enumerate(zip(frames_of(a), frames_of(b), strict=True)):
            tiles += [[i, t] for t in range(len(p)) if p[t] != q[t]]
    return {
        "tiers": [n for n in ("f0", "f1", "f2", "f2c", "f3", "f4", "f5") if a[n] != b[n]],
        "tiles": tiles,
        "meaning": sorted(n for n in {*meaning[0], *meaning[1]} if meaning[0].get(n) != meaning[1].get(n)),
        "identity": sorted(n for n in {*a["f4"], *b["f4"]} if a["f4"].get(n) != b["f4"].get(n)),
    }


def follow(a, b):
    """The verdicts that follow from two fingerprints alone; others (SUBSTITUTED, EVIDENCE-INVALID) may stand beside."""
    coded = a["f2c"] is not None and a["f2c"] == b["f2c"]  # one codestream, decoders that differ by the last bit
    samples = a["kind"] not in ("note", "json") and a["f2"] != b["f2"] and not coded
    names = {"PIXELS-CHANGED": samples, "MEANING-CHANGED": a["f3"] != b["f3"], "IDENTITY-COERCED": a["f4"] != b["f4"]}
    return {name for name, holds in names.items() if holds}


# --- the package ---------------------------------------------------------------------------------------------------


def verify(folder, vkey, suspect):
    """All checks; a line for each that passed."""
    parse_vkey(vkey)
    package = json.loads((folder / "package.json").read_text())
    need(package["v"] == "nocere-evidence/1", "another version of package")
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {"package.json", "verify.py"}
    need(there == set(package["files"]), f"files differ from the list: {sorted(there ^ set(package['files']))}")
    for name, digest in package["files"].items():
        need(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, f"{name} was changed")
    yield f"{len(there)} files are the listed ones"

    entries, checkpoints = {}, set()
    for path in sorted((folder / "records").glob("*.tlog-proof")):
        try:
            index, entry, checkpoint = read_proof(path.read_text(), vkey)
        except (Bad, ValueError, IndexError) as e:
            raise Bad(f"{path.name}: {e}") from None
        need(path.stem == str(index), f"{path.name} holds record {index}")
        entries[index] = entry
        checkpoints.add(checkpoint)
    need(len(checkpoints) == 1, "the records do not share one checkpoint")
    yield f"{len(entries)} records are in the log {parse_vkey(vkey)[0]} of {checkpoints.pop().split()[1]} entries"

    bodies = check_authors(entries)
    yield "every record was written by a key in office"

    openings = json.loads((folder / "openings.json").read_text())
    for index, opened in openings.items():
        for name, o in opened.items():
            mac = hmac.new(bytes.fromhex(o["salt"]), o["value"].encode(), hashlib.sha256).hexdigest()
            committed = bodies[int(index)]["commitments"][name]
            need(hmac.compare_digest(mac, committed), f"record {index}: {name} is not what was committed to")
    yield f"{sum(map(len, openings.values()))} disclosed values are what the log committed to"

    fingerprints = {p.stem: json.loads(p.read_text()) for p in (folder / "fingerprints").glob("*.json")}
    for fp in fingerprints.values():
        check_fingerprint(fp)
    record, stated = package["record"], {v["verdict"] for v in package["verdicts"]}
    if record is None:
        need(stated & UNBOUND, "verdicts are stated that need a captured record, and none is named")
        yield "NO captured record is named: nothing here says what the suspect was at capture"
    else:
        need(bodies[record]["type"] == "capture", f"record {record} is no capture")
        need("original" in fingerprints, "the fingerprint of the captured original is missing")
        disclosed = {n: o["value"] for n, o in openings[str(record)].items()}
        need(tiers_of(fingerprints["original"]) == disclosed, "the original is not the one that was captured")
        yield f"the original is the one captured as record {record}"
    if "original" in fingerprints and "suspect" in fingerprints:
        found = differences(fingerprints["original"], fingerprints["suspect"])
        need(found == package["differences"], f"the differences are others than stated: {found}")
        missing = follow(fingerprints["original"], fingerprints["suspect"]) - stated
        need(not missing, f"a verdict that follows is not stated: {', '.join(sorted(missing))}")
        yield f"the differences are as stated: {', '.join(found['tiers']) or 'none'}"
    if suspect is not None:
        need("suspect" in fingerprints, "the package holds no fingerprint of a suspect")
        need(Path(suspect).is_file(), f"there is no file {suspect}")
        digest = hashlib.sha256(Path(suspect).read_bytes()).hexdigest()
        need(digest == fingerprints["suspect"]["f0"], "the file given is not the suspect of this package")
        yield "the file given is the suspect of this package"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--vkey", help="the log's verifier key, from a source that you trust")
    parser.add_argument("--suspect", type=Path, help="the suspect file, to check that it is the one meant")
    given = parser.parse_args()
    try:
        need((given.package / "package.json").is_file(), f"{given.package} is no evidence package: no package.json")
        vkey = given.vkey or json.loads((given.package / "package.json").read_text())["vkey"]
        if not given.vkey:
            print("NOTE: the key is taken from the package itself; a forger could have put in his own. Use --vkey.")
        for line in verify(given.package, vkey, given.suspect):
            print(f"ok: {line}")
    except (Bad, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as e:
        print(f"FAILED: {e if isinstance(e, Bad) else f'malformed package ({type(e).__name__}: {e})'}")
        return 1
    print("VERIFIED")
    return 0


if __name__ == "__main__":
    sys.exit(main())
