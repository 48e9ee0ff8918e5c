"""The same edits through dcmsign (DCMTK), c2pa-health-imaging and nocere: what each misses, and how fast nocere is.

    python benchmarks/provenance_tools.py [--c2pa PYTHON] [--files NAME ...]

Every tool signs or captures the original. Then each edit of tests/provenance_edits.py is done to that file and the tool
is asked. A miss is an edit of pixels, meaning or identity that passes; an alarm is a re-encoding that does not. PYTHON is
the interpreter of an environment in which c2pa-health-imaging is installed (it pins an older `cryptography`). Prints
Markdown on standard output.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pydicom

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.provenance_edits import EDITS, Edited, Subject, set_pixels, test_files, written

from nocere.core.errors import DataError
from nocere.provenance.fingerprint import Verdict, compare, fingerprint, headline, read

KEY = bytes(range(32))
FILES = ("MR_small.dcm", "CT_small.dcm", "SC_rgb_small_odd.dcm", "rtdose.dcm", "dicomdirtests/77654033/CR1/6154")
CHANGES = ("pixels", "meaning", "identity")
# Run in the other environment: one process for all files, since starting one a file would take most of the time.
C2PA = """
import sys, json
from typer.testing import CliRunner
from c2pa_health_imaging.cli import app
for line in sys.stdin:
    result = CliRunner().invoke(app, json.loads(line))
    print(json.dumps(result.exit_code), flush=True)
"""


class Nocere:
    """Capture out of band; a pass is IDENTICAL or LOSSLESS-EQUIVALENT."""

    name = "nocere"

    def prepare(self, content: bytes) -> bytes:
        self.original = fingerprint(read(content), KEY)
        return content

    def passes(self, content: bytes) -> bool:
        try:
            verdict = headline(compare(self.original, fingerprint(read(content), KEY)))
        except DataError:
            return False
        return verdict in (Verdict.IDENTICAL, Verdict.LOSSLESS_EQUIVALENT)


class Dcmsign:
    """A PS3.15 Creator RSA signature with SHA-256 in the file; the verifier asks for a signature (+rg)."""

    name = "dcmsign, Creator"

    def __init__(self, folder: Path) -> None:
        self.folder, self.key, self.certificate = folder, folder / "key.pem", folder / "certificate.pem"
        request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=test"]
        run([*request, "-keyout", self.key, "-out", self.certificate], check=True)

    def prepare(self, content: bytes) -> bytes | None:
        plain, signed = self.folder / "plain.dcm", self.folder / "signed.dcm"
        plain.write_bytes(content)
        signed.unlink(missing_ok=True)
        code = run(["dcmsign", "-q", "+s", self.key, self.certificate, "+pc", "+m2", plain, signed])
        return signed.read_bytes() if code == 0 and signed.exists() else None

    def passes(self, content: bytes) -> bool:
        path = self.folder / "suspect.dcm"
        path.write_bytes(content)
        return run(["dcmsign", "-q", "+rg", "+cf", self.certificate, path]) == 0


class C2pa:
    """c2pa-health-imaging with its default profile."""

    name = "c2pa-health-imaging"

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen([python, "-c", C2PA], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.key, self.certificate = str(folder / "c2pa.key"), str(folder / "c2pa.pem")
        assert self.ask("keygen", "--out-key", self.key, "--out-cert", self.certificate) == 0, "keygen failed"

    def ask(self, *words: str) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        return int(json.loads(self.process.stdout.readline()))

    def prepare(self, content: bytes) -> bytes | None:
        plain, signed = self.folder / "p.dcm", self.folder / "s.dcm"
        plain.write_bytes(content)
        signed.unlink(missing_ok=True)
        code = self.ask("sign", str(plain), "--key", self.key, "--cert", self.certificate, "--out", str(signed))
        return signed.read_bytes() if code == 0 and signed.exists() else None

    def passes(self, content: bytes) -> bool:
        path = self.folder / "v.dcm"
        path.write_bytes(content)
        return self.ask("verify", str(path), "--trust-cert", self.certificate) == 0


def run(command: list[object], check: bool = False) -> int:
    done = subprocess.run([str(c) for c in command], capture_output=True, timeout=120, check=check)
    return done.returncode


def edited(subject: Subject) -> list[tuple[str, str, Edited]]:
    """Group, name and outcome of every edit that applies."""
    chosen = [edit for edit in EDITS if edit.group != "broken"]
    return [(edit.group, edit.name, e) for edit in chosen if (e := edit.apply(subject)) is not None]


def compare_tools(tools: list[Nocere | Dcmsign | C2pa], names: list[str]) -> None:
    """Print what each tool misses and where it raises a false alarm."""
    wrong: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    total: dict[str, Counter[str]] = defaultdict(Counter)
    paths = test_files()
    for name in names:
        for tool in tools:
            content = tool.prepare(paths[name].read_bytes())
            if content is None:
                print(f"{tool.name} does not sign {name}.\n", flush=True)
                continue
            if not tool.passes(content):
                print(f"{tool.name} rejects {name} as it signed it.\n", flush=True)
                continue
            for group, edit, e in edited(Subject(name, content)):
                total[tool.name][group] += 1
                if tool.passes(e.content) != (group == "encoding"):
                    wrong[tool.name][group][edit] += 1
    print(f"Files: {', '.join(names)}.\n")
    print("| tool | pixels missed | meaning missed | identity missed | alarms at re-encoding |")
    print("|---|---|---|---|---|")
    for tool in tools:
        cells = [f"{sum(wrong[tool.name][g].values())} of {total[tool.name][g]}" for g in (*CHANGES, "encoding")]
        print(f"| {tool.name} | " + " | ".join(cells) + " |")
    for tool in tools:
        for group in (*CHANGES, "encoding"):
            if wrong[tool.name][group]:
                listed = ", ".join(f"{e} ({n})" for e, n in sorted(wrong[tool.name][group].items()))
                print(f"\n{tool.name}, {group} (edit and number of files): {listed}.")


def image(side: int, syntax: str = "") -> bytes:
    """A side x side image of 12 bits in 16, smooth with noise."""
    ds = pydicom.dcmread(test_files()["CT_small.dcm"])
    y, x = np.mgrid[:side, :side] / side
    values = 1000 + 800 * np.sin(9 * x) * np.cos(7 * y) + np.random.default_rng(0).normal(0, 8, (side, side))
    set_pixels(ds, values.astype(np.int64)[None, :, :, None])
    if syntax:
        plugin = {"1.2.840.10008.1.2.4.90": "pylibjpeg", "1.2.840.10008.1.2.4.80": "pyjpegls"}.get(syntax, "pydicom")
        ds.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
    return written(ds)


def rate(work: object, seconds: float = 2.0) -> float:
    """Runs a CPU second of this process, over about `seconds`; other work on the machine counts for less so."""
    assert callable(work)
    work()
    n, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        work()
        n += 1
    return n / (time.process_time() - start)


def speed() -> None:
    """Print fingerprints a CPU second beside plain SHA-256 of the file."""
    print("\n| image | bytes | SHA-256 of the file, per CPU s | read, per CPU s | read and fingerprint, per CPU s |")
    print("|---|---|---|---|---|")
    rows = [("512 x 512, native", 512, ""), ("2048 x 2048, native", 2048, "")]
    rows += [("512 x 512, JPEG 2000 lossless", 512, "1.2.840.10008.1.2.4.90")]
    rows += [
        ("512 x 512, JPEG-LS lossless", 512, "1.2.840.10008.1.2.4.80"),
        ("512 x 512, RLE", 512, "1.2.840.10008.1.2.5"),
    ]
    rows += [("128 x 128, native", 128, "")]
    for label, side, syntax in rows:
        content = image(side, syntax)
        plain = rate(lambda c=content: hashlib.sha256(c).digest())
        reads = rate(lambda c=content: read(c))
        full = rate(lambda c=content: fingerprint(read(c), KEY))
        print(f"| {label} | {len(content):,} | {plain:,.0f} | {reads:,.0f} | {full:,.0f} |", flush=True)


def main() -> None:
    """Compare the tools that are installed, then time nocere."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--c2pa", help="interpreter of an environment with c2pa-health-imaging")
    parser.add_argument("--files", nargs="+", default=list(FILES), help="names of pydicom's test files")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        tools: list[Nocere | Dcmsign | C2pa] = [Nocere()]
        if shutil.which("dcmsign") and shutil.which("openssl"):
            tools.append(Dcmsign(Path(folder)))
        if options.c2pa:
            tools.append(C2pa(Path(folder), options.c2pa))
        compare_tools(tools, options.files)
    speed()


if __name__ == "__main__":
    main()
