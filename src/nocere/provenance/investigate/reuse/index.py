"""The index: every image described once; a search shortlists by shared feature words, then verifies by alignment.

The first 64 bits of a feature's code are four words of 16 bits, one for each of four tables (locality-sensitive hashes,
Indyk & Motwani 1998). Each word of the searched image votes for the images that hold it, more the fewer they are; the
images with most votes are verified. The index shows the images to whoever holds it: its file is readable by its owner
only, and belongs where the images are kept.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nocere.core.errors import DataError, UsageError
from nocere.core.files import write_atomic
from nocere.provenance.investigate.reuse.features import Features, describe, mirrored
from nocere.provenance.investigate.reuse.verify import INLIERS, Match, same

TABLES, WORDS = 4, 1 << 16
SHORTLIST = 20  # images that are verified
FORMAT = "nocere-reuse-1"


@dataclass(frozen=True, slots=True, eq=False)
class Duplicate:
    """Two images of different groups that show the same photograph.

    Attributes:
        id, group: the one that was added later.
        other: the earlier one, as found by searching for the later.
    """

    id: str
    group: str
    other: Match


class Index:
    """Images by id and group (patient, claim), searchable for the same photograph."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._groups: list[str] = []
        self._held: list[Features] = []
        self._words: _Words | None = None

    def __contains__(self, id: str) -> bool:
        return id in self._ids

    def __len__(self) -> int:
        return len(self._held)

    @property
    def unsearchable(self) -> list[str]:
        """Ids of images with too little detail to be found again (blank, or hardly anything but surround)."""
        return [id for id, row in self._ids.items() if len(self._held[row].points) < INLIERS]

    def add(self, id: str, group: str, image: NDArray[np.integer[Any]]) -> None:
        """Describe an image, integers [rows, columns(, samples)] of any depth, and keep it under a new `id`.

        Raises:
            UsageError: the id is taken, or the array is not such an image.
            PrerequisiteError: OpenCV is not installed.
        """
        if id in self._ids:
            raise UsageError(f"There is an image {id!r} in the index already.", "Give every image an id of its own.")
        features = describe(image)
        self._ids[id] = len(self._held)
        self._groups.append(group)
        self._held.append(features)
        self._words = None

    def search(self, image: NDArray[np.integer[Any]]) -> list[Match]:
        """Indexed images that show the same photograph as `image`, best first.

        Raises:
            UsageError: not an integer image [rows, columns(, samples)].
            DataError: it has too little detail to be found again.
            PrerequisiteError: OpenCV is not installed.
        """
        features = describe(image)
        if len(features.points) < INLIERS:
            raise DataError(
                f"The image has {len(features.points)} features and a search needs {INLIERS}: it shows too little.",
                "Search for an image with more detail.",
            )
        return self._search(features, np.ones(len(self), dtype=bool))

    def duplicates(self, since: int = 0) -> Iterator[Duplicate]:
        """Every pair of images in different groups that show the same photograph, each pair once.

        With `since`, only pairs whose later image is not among the first `since` that were added.
        """
        number = {g: k for k, g in enumerate(dict.fromkeys(self._groups))}
        groups = np.array([number[g] for g in self._groups], dtype=np.int64)
        rows = np.arange(len(self))
        for id, row in list(self._ids.items())[since:]:
            for match in self._search(self._held[row], (groups != groups[row]) & (rows < row)):
                yield Duplicate(id, self._groups[row], match)

    def _search(self, features: Features, allowed: NDArray[np.bool_]) -> list[Match]:
        if self._words is None:
            self._words = _Words([f.codes for f in self._held])
        ids, best = list(self._ids), dict[int, Match]()
        turned = mirrored(features)
        votes = np.stack([np.where(allowed, self._words.votes(f.codes), 0) for f in (features, turned)])
        for place in np.argsort(-votes, axis=None, kind="stable")[:SHORTLIST]:
            flip, row = divmod(int(place), len(ids))
            found = same(turned if flip else features, self._held[row]) if votes[flip, row] > 0 else None
            if found is not None and (row not in best or found[0] > best[row].score):
                transform = _in_pixels(found[1], features, self._held[row], mirror=bool(flip))
                best[row] = Match(ids[row], self._groups[row], found[0], transform, found[2])
        return sorted(best.values(), key=lambda m: (-m.score, m.id))

    def save(self, path: Path) -> None:
        """Write the index as one npz file that its owner only can read.

        Raises:
            WriteError: it cannot be written.
        """
        held = self._held
        out = io.BytesIO()
        np.savez_compressed(
            out,
            format=np.array(FORMAT),
            ids=np.array(list(self._ids), dtype=np.str_),
            groups=np.array(self._groups, dtype=np.str_),
            counts=np.array([len(f.points) for f in held], dtype=np.int32),
            points=np.concatenate([np.zeros((0, 2), np.float32), *(f.points for f in held)]),
            codes=np.concatenate([np.zeros((0, 2), np.uint64), *(f.codes for f in held)]),
            mirror_codes=np.concatenate([np.zeros((0, 2), np.uint64), *(f.mirror_codes for f in held)]),
            small=np.concatenate([np.zeros(0, np.uint8), *(f.small.ravel() for f in held)]),
            small_sizes=np.array([f.small.shape for f in held], dtype=np.int32).reshape(-1, 2),
            scales=np.array([f.scale for f in held], dtype=np.float64),
            sizes=np.array([f.size for f in held], dtype=np.int32).reshape(-1, 2),
        )
        write_atomic(path, out.getvalue())  # the temporary file is made with mode 0600 and keeps it

    @classmethod
    def load(cls, path: Path) -> Index:
        """Read an index that `save` wrote.

        Raises:
            DataError: there is no such file, or it is not a whole index of this format.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as z:
                if str(z["format"]) != FORMAT:
                    raise ValueError("another format")
                a = {k: z[k] for k in z.files}
            index = cls()
            at = np.concatenate([[0], a["counts"].cumsum()])
            pixels = np.concatenate([[0], a["small_sizes"].prod(axis=1).cumsum()])
            features = {len(a[k]) for k in ("points", "codes", "mirror_codes")}
            if features != {int(at[-1])} or pixels[-1] != len(a["small"]):
                raise ValueError("its parts do not fit together")
            for row, (id, group) in enumerate(zip(a["ids"], a["groups"], strict=True)):
                here = slice(at[row], at[row + 1])
                small = a["small"][pixels[row] : pixels[row + 1]].reshape(a["small_sizes"][row])
                size = (int(a["sizes"][row, 0]), int(a["sizes"][row, 1]))
                index._ids[str(id)] = row
                index._groups.append(str(group))
                index._held.append(
                    Features(
                        a["points"][here],
                        a["codes"][here],
                        a["mirror_codes"][here],
                        small,
                        float(a["scales"][row]),
                        size,
                    )
                )
            return index
        except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as e:
            why = e.strerror if isinstance(e, OSError) else "it is damaged, or another kind of file"
            raise DataError(f"Cannot read the re-use index {path}: {why}.", "Build it again from the images.") from e


class _Words:
    """Which images hold which word: postings sorted by word."""

    def __init__(self, codes: list[NDArray[np.uint64]]) -> None:
        each = [_words(c) for c in codes]
        words = np.concatenate([np.zeros(0, np.int32), *each])
        rows = np.repeat(np.arange(len(codes), dtype=np.int32), [len(w) for w in each])
        self._rows = rows[np.argsort(words, kind="stable")]
        self._start = np.concatenate([[0], np.bincount(words, minlength=TABLES * WORDS).cumsum()])
        self._images = len(codes)

    def votes(self, codes: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Votes for each image: a word that it shares counts by how rare it is (idf)."""
        words = _words(codes)
        first, count = self._start[words], self._start[words + 1] - self._start[words]
        at = np.repeat(first - (count.cumsum() - count), count) + np.arange(count.sum())
        weight = np.repeat(np.log((self._images + 1) / np.maximum(count, 1)), count)
        return np.asarray(np.bincount(self._rows[at], weights=weight, minlength=self._images), dtype=np.float64)


def _words(codes: NDArray[np.uint64]) -> NDArray[np.int32]:
    """The distinct words of an image, each with its table."""
    held = np.ascontiguousarray(codes[:, 0]).view(np.uint16).reshape(-1, TABLES).astype(np.int32)
    return np.unique(held + WORDS * np.arange(TABLES, dtype=np.int32))


def _in_pixels(found: NDArray[np.float64], query: Features, held: Features, *, mirror: bool) -> NDArray[np.float64]:
    """The map between described pictures as one between the images themselves, with the mirroring in it."""
    to_small, to_query = _scaling(held.scale), np.linalg.inv(_scaling(query.scale))
    whole = to_query @ np.vstack([found, [0, 0, 1]]) @ to_small
    if mirror:  # the query was mirrored before it was compared
        whole = np.array([[-1.0, 0.0, query.size[1] - 1.0], [0, 1, 0], [0, 0, 1]]) @ whole
    return np.asarray(whole[:2])


def _scaling(scale: float) -> NDArray[np.float64]:
    """Pixel coordinates to those of a picture scaled about the corner of its first pixel."""
    shift = (scale - 1) / 2
    return np.array([[scale, 0, shift], [0, scale, shift], [0, 0, 1]])
