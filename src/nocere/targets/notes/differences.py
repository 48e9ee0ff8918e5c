"""Where two texts differ: stretches of characters, everything outside of which is equal.

Variants of a note differ from it in a few places. The stretches need not be the shortest ones; that they cover every
difference is what counts, and holds however the two texts are related.
"""

from __future__ import annotations

NEAR = 32  # characters between the first and last difference that are one stretch
ANCHOR, REACH = 16, 120  # characters that must be equal to go on after a difference, and how far they are looked for
STEPS = (4, 12, 32, 80)


def stretches(a: str, b: str) -> list[tuple[int, int, int, int]]:
    """Differing parts in order: from and to in `a`, from and to in `b`; none where the texts are equal."""
    if a == b:
        return []
    shorter = min(len(a), len(b))
    i = _alike(a, 0, b, 0, shorter)
    tail = _alike_back(a, b, shorter - i)
    j, end_a, end_b = i, len(a) - tail, len(b) - tail
    found = []
    while end_a - i > NEAR or end_b - j > NEAR:
        resumed = _resumed(a, i, end_a, b, j, end_b)
        if resumed is None:
            break
        p, q = resumed
        found.append((i, p, j, q))
        same = _alike(a, p, b, q, min(end_a - p, end_b - q))
        i, j = p + same, q + same
    if i < end_a or j < end_b:
        found.append((i, end_a, j, end_b))
    return found


def _resumed(a: str, i: int, end_a: int, b: str, j: int, end_b: int) -> tuple[int, int] | None:
    """Positions soon after i and j where the texts go on alike."""
    for step in STEPS:
        p = i + step
        if p + ANCHOR > end_a:
            return None
        q = b.find(a[p : p + ANCHOR], j, min(j + step + REACH, end_b))
        if q >= 0:
            while p > i and q > j and a[p - 1] == b[q - 1]:
                p, q = p - 1, q - 1
            return p, q
    return None


def _alike(a: str, i: int, b: str, j: int, most: int) -> int:
    """How many characters from i and j on are equal, at most `most`, by bisection."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if a[i + low : i + middle] == b[j + low : j + middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _alike_back(a: str, b: str, most: int) -> int:
    """How many characters at the end are equal, at most `most`."""
    low, high = 0, most
    m, n = len(a), len(b)
    while low < high:
        middle = (low + high + 1) // 2
        if a[m - middle : m - low] == b[n - middle : n - low]:
            low = middle
        else:
            high = middle - 1
    return low
