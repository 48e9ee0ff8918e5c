"""Record: a case made of named parts, each a case of its own (claim + image + note; before + after)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nocere.cases.codec import Codec
from nocere.core.candidate import Files
from nocere.core.canonical import Json, digest
from nocere.core.case import Case, Truth


def record_case(case_id: str, parts: Mapping[str, Case[Any]], truth: Truth, group: str = "") -> Case[dict[str, Any]]:
    """A case whose content maps part name to the content of that part."""
    x = {name: part.x for name, part in parts.items()}
    header: dict[str, Json] = {name: dict(part.header) for name, part in parts.items()}
    return Case(case_id, x, header, truth, group or case_id, {}, digest({n: p.sha256 for n, p in parts.items()}))


@dataclass(frozen=True, slots=True)
class RecordCodec:
    """Files of every part under `part/`; one codec a part."""

    parts: Mapping[str, Codec]
    name: str = field(default="record", init=False)

    def encode(self, case: Case[Any], x: Any) -> Files:
        files: dict[str, bytes] = {}
        for part, codec in self.parts.items():
            own = Case(case.id, case.x[part], case.header[part], case.truth)  # type: ignore[arg-type]
            files |= {f"{part}/{name}": data for name, data in codec.encode(own, x[part]).items()}
        return files

    def decode(self, files: Files) -> tuple[Any, Mapping[str, Json]]:
        x: dict[str, Any] = {}
        header: dict[str, Json] = {}
        for part, codec in self.parts.items():
            own = {n.removeprefix(f"{part}/"): data for n, data in files.items() if n.startswith(f"{part}/")}
            x[part], head = codec.decode(own)
            header[part] = dict(head)
        return x, header
