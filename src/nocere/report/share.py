"""What a shared report withholds: pictures, ids, paths and proofs go, numbers stay."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Sequence

from nocere.audit.measures.measure import Measure
from nocere.core.case import CaseRef

SMALLEST = 5
# Rooted paths, and relative ones with two folders or a file ending; "and/or" stays.
_PATH = re.compile(
    r"(?<![\w/\\])(?:[A-Za-z]:[\\/]|~/|\.{1,2}/|/|\\\\)[\w.~/\\-]*[\w-]"
    r"|\b[\w.-]+(?:[/\\][\w.-]+){2,}|\b[\w.-]+[/\\][\w-]+\.\w{1,5}\b"
)
WITHHELD = "[withheld]"


class Shield:
    """Passes everything through without a key; with one, replaces ids by HMAC-SHA256 and withholds paths.

    The key is the site's own: the same case keeps its name across the reports of a site, and nobody without the key
    can find it by trying patient numbers.
    """

    def __init__(self, key: bytes | None, refs: Sequence[CaseRef]) -> None:
        self.key = key
        ids = {r.id for r in refs} | {r.group for r in refs}
        # Short numbers are left alone in free text: they would hit counts and budgets. Ids have fields of their own.
        risky = [i for i in ids if len(i) >= 3 and not (i.isdigit() and len(i) < 6)]
        words = "|".join(re.escape(i) for i in sorted(risky, key=len, reverse=True))
        self._ids = re.compile(rf"(?<![\w-])(?:{words})(?![\w-])") if words and key is not None else None
        self._small = _small_groups(refs)

    @property
    def on(self) -> bool:
        """True for a shared report."""
        return self.key is not None

    def case(self, case_id: str) -> str:
        """The id, or its name under the site's key."""
        if self.key is None:
            return case_id
        return hmac.new(self.key, case_id.encode(), hashlib.sha256).hexdigest()[:12]

    def text(self, text: str) -> str:
        """Free text that somebody wrote, without ids and paths."""
        if self.key is None:
            return text
        if self._ids is not None:
            text = self._ids.sub(lambda hit: self.case(hit.group()), text)
        return _PATH.sub(WITHHELD, text)

    def keeps(self, m: Measure) -> bool:
        """False for subgroup numbers over few cases, which could point at somebody."""
        return self.key is None or m.group == "all" or (m.n + m.missing >= SMALLEST and not self.hides(m.group))

    def hides(self, group: str) -> bool:
        """True where the very name of a subgroup must not be given."""
        return self.on and group in self._small


def _small_groups(refs: Sequence[CaseRef]) -> set[str]:
    """Subgroups that must go because what is left of their attribute is a small group, known by subtraction."""
    values: dict[str, Counter[str]] = {}
    for r in refs:
        for key, value in r.attrs.items():
            values.setdefault(key, Counter())[value] += 1
        if r.truth.borderline is not None:
            values.setdefault("truth", Counter())["borderline" if r.truth.borderline else "clear"] += 1
    gone: set[str] = set()
    for key, counts in values.items():
        few = {v for v, c in counts.items() if c < SMALLEST}
        gone |= {f"{key}={v}" for v in few}
        rest = len(refs) - sum(c for v, c in counts.items() if v not in few)
        if 0 < rest < SMALLEST and len(few) < len(counts):
            least = min((v for v in counts if v not in few), key=lambda v: (counts[v], v))
            gone.add(f"{key}={least}")
    return gone
