"""Bundle: the immutable folder that a run leaves.

manifest.json   hash of every file below, of target, data and plan (RFC 8785); its own SHA-256 names the evidence
plan.json       what was run, resolved
cases.json      ids, truths, patients, subgroups and hashes of the cases
clean.json      the target's answers to the unchanged cases
cells/          outcomes, one file a shard
evidence/       the adversarial files; originals/ the files they came from; masks/ what readers marked in these
artefacts/      what a round made for later rounds; artefacts.json: what making it took
measures.json, indicators.json, verdicts.json
run.json        wall times, host, versions: not in the manifest
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from nocere.attacks.outcome import Outcome
from nocere.audit.indicators import Indicator
from nocere.audit.measures.measure import CellResult, Measure, Results
from nocere.core.canonical import digest, dumps, sha256
from nocere.core.case import CaseRef
from nocere.core.decision import from_json
from nocere.core.errors import VerificationError
from nocere.core.files import write_atomic

SCHEMA = 1
OUTSIDE = ("run.json", "manifest.json")
SEALED = (
    "plan.json", "cases.json", "clean.json", "artefacts.json", "measures.json", "indicators.json", "verdicts.json",
)  # fmt: skip
FOLDERS = ("cells", "evidence", "originals", "masks", "artefacts")


def short(case_id: str) -> str:
    """A file name for a case: ids may hold slashes or patient names."""
    return sha256(case_id.encode())[:16]


def mask_path(case_id: str) -> str:
    """The mask of a case, relative to the bundle."""
    return f"masks/{short(case_id)}.png"


def evidence_path(cell: str, case_id: str, radius: float) -> str:
    """Folder of the evidence of one case at one radius, relative to the bundle."""
    return f"evidence/{cell}/{short(case_id)}@{radius:.12g}"


class Bundle:
    """A finished run, read from its folder.

    Raises:
        VerificationError: not a bundle, or of a newer schema.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.manifest: dict[str, Any] = json.loads((self.folder / "manifest.json").read_bytes())
        except (OSError, ValueError) as e:
            raise VerificationError(
                f"{self.folder} holds no finished audit (no readable manifest.json).",
                "Give the folder that `nocere audit run` wrote, or run the same command again to finish it.",
            ) from e
        if self.manifest.get("schema") != SCHEMA:
            raise VerificationError(f"{self.folder} has bundle schema {self.manifest.get('schema')}; {SCHEMA} is read.")

    @property
    def hash(self) -> str:
        """SHA-256 of the manifest: names this evidence."""
        return sha256((self.folder / "manifest.json").read_bytes())

    def verify(self) -> None:
        """Check every file against the manifest.

        Raises:
            VerificationError: a file is missing, changed or was added; the sentence names it.
        """
        listed: Mapping[str, str] = self.manifest["files"]
        for name, want in listed.items():
            path = self.folder / name
            if not path.is_file():
                raise VerificationError(f"{self.folder}: {name} is missing from the bundle.")
            if sha256(path.read_bytes()) != want:
                raise VerificationError(f"{self.folder}: {name} has been changed since the audit.")
        extra = set(sealed_files(self.folder)) - set(listed)
        if extra:
            raise VerificationError(f"{self.folder}: {sorted(extra)[0]} was added after the audit.")

    def read(self, name: str) -> Any:
        """A JSON file of the bundle, checked against the manifest."""
        return json.loads(self.bytes(name))

    def bytes(self, name: str) -> bytes:
        """A file of the bundle, checked against the manifest."""
        try:
            data = (self.folder / name).read_bytes()
        except OSError as e:
            raise VerificationError(f"{self.folder}: {name} is missing from the bundle.") from e
        if sha256(data) != self.manifest["files"].get(name):
            raise VerificationError(f"{self.folder}: {name} has been changed since the audit.")
        return data

    @cached_property
    def plan(self) -> dict[str, Any]:
        """The plan as it was resolved."""
        plan: dict[str, Any] = self.read("plan.json")
        return plan

    @cached_property
    def refs(self) -> tuple[CaseRef, ...]:
        """The cases without content."""
        return tuple(CaseRef.from_json(r) for r in self.read("cases.json"))

    def outcomes(self, cell: str) -> Iterator[Outcome]:
        """Outcomes of a cell, in the order of the cases."""
        for name in sorted(n for n in self.manifest["files"] if n.startswith(f"cells/{cell}/")):
            yield from (Outcome.from_json(o) for o in self.read(name)["outcomes"])

    def results(self) -> Results:
        """What measures are computed from; a bundle can be measured again."""
        return results(
            self.plan,
            self.refs,
            self.read("clean.json"),
            {c["name"]: tuple(self.outcomes(c["name"])) for c in self.plan["cells"]},
        )

    @cached_property
    def measures(self) -> list[Measure]:
        """The measures that the run wrote."""
        return [Measure(**m) for m in self.read("measures.json")]

    @cached_property
    def indicators(self) -> list[Indicator]:
        """Signs of a failed search; none in bundles that were written before there were any."""
        there = "indicators.json" in self.manifest["files"]
        return [Indicator.from_json(i) for i in self.read("indicators.json")] if there else []

    @cached_property
    def artefacts(self) -> dict[str, dict[str, Any]]:
        """What making each artefact took, by its name: answers of the target, for example."""
        there = "artefacts.json" in self.manifest["files"]
        return dict(self.read("artefacts.json")) if there else {}

    @cached_property
    def verdicts(self) -> list[dict[str, Any]]:
        """The verdicts that the run wrote."""
        verdicts: list[dict[str, Any]] = self.read("verdicts.json")
        return verdicts

    @cached_property
    def run(self) -> dict[str, Any]:
        """Wall times, host and versions; not part of the evidence."""
        path = self.folder / "run.json"
        return json.loads(path.read_bytes()) if path.exists() else {}


def results(
    plan: Mapping[str, Any],
    refs: tuple[CaseRef, ...],
    clean: Mapping[str, Any],
    outcomes: Mapping[str, tuple[Outcome, ...]],
) -> Results:
    """Results from the plain forms that a bundle holds."""
    cells = tuple(
        CellResult(
            c["name"], c["threat"]["name"], c["unit"], c["line"], c["aim"], tuple(c["radii"]), c["untargeted"],
            outcomes[c["name"]], c.get("sanity", False),
        )
        for c in plan["cells"]
    )  # fmt: skip
    rows = clean["cases"]
    return Results(
        refs=refs,
        decision=from_json(plan["target"]["decision"]),
        clean={r["case_id"]: tuple(r["margins"]) for r in rows},
        clean_probabilities={
            r["case_id"]: None if r["probabilities"] is None else tuple(r["probabilities"]) for r in rows
        },
        clean_why={r["case_id"]: r["why"] for r in rows},
        cells=cells,
        harm=plan.get("harm", {}),
        by_id={r.id: r for r in refs},
    )


def sealed_files(folder: Path) -> list[str]:
    """Names of all files that a manifest covers."""
    names = [n for n in SEALED if (folder / n).is_file()]
    for sub in FOLDERS:
        names += [p.relative_to(folder).as_posix() for p in (folder / sub).rglob("*") if p.is_file()]
    return sorted(n for n in names if not Path(n).name.startswith(".tmp-"))


def seal(folder: Path, plan: Mapping[str, Any]) -> str:
    """Write the manifest; the run is finished when it exists. Returns its SHA-256."""
    files = {name: sha256((folder / name).read_bytes()) for name in sealed_files(folder)}
    manifest = {
        "schema": SCHEMA,
        "plan": digest(plan),
        "target": plan["target"]["fingerprint"],
        "data": files["cases.json"],
        "phantom": plan["cases"]["phantom"],
        "files": files,
    }
    data = dumps(manifest)
    write_atomic(folder / "manifest.json", data)
    return sha256(data)
