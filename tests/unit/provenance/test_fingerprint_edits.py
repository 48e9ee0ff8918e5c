"""Every edit of every file is named exactly: tiers, tiles, frames, attributes, identity fields (G1, G2, G12, G15)."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from tests.provenance_edits import EDITS, Edited, Subject, test_files

from nocere.core.errors import DataError
from nocere.provenance.fingerprint import Fingerprint, compare, findings, fingerprint, read

KEY = bytes(range(32))
SOAK = bool(os.environ.get("NOCERE_SOAK"))
FILES = test_files()

SMALL = [
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_expb.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_padded.dcm",
    "CT_small.dcm",
    "ExplVR_BigEnd.dcm",
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "SC_rgb_small_odd.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_rle_16bit.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "rtdose.dcm",
    "rtdose_1frame.dcm",
    "rtdose_expb_1frame.dcm",
    "rtdose_rle_1frame.dcm",
    "emri_small.dcm",
]
SMALL += sorted(n for n in FILES if n.startswith("dicomdirtests/77654033/") and n.split("/")[-1].isdigit())
SMALL += sorted(n for n in FILES if n.startswith("dicomdirtests/98892003/") and n.split("/")[-1].isdigit())[:12]
LARGE = [
    "693_J2KI.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "examples_palette.dcm",
    "examples_rgb_color.dcm",
    "693_UNCR.dcm",
    "MR2_UNCR.dcm",
]
NAMES = [n for n in SMALL + (LARGE if SOAK else []) if n in FILES]


def subject(name: str) -> Subject:
    return Subject(name, FILES[name].read_bytes())


def capture(content: bytes) -> Fingerprint:
    return fingerprint(read(content), KEY)


def problems(original: Fingerprint, edited: Edited) -> list[str]:
    """What the comparison says otherwise than what was planted."""
    try:
        suspect = capture(edited.content)
    except DataError:
        return [] if edited.verdict == "REFUSED" else ["refused"]
    if edited.verdict == "REFUSED":
        return ["not refused"]
    d = compare(original, suspect)
    found = {
        "tiers": (d.tiers & {"F2", "F2c", "F3", "F4"}, edited.tiers),
        "F0": ("F0" in d.tiers, True),
        "verdict": (findings(d)[0].verdict.value, edited.verdict),
        "tiles": ({(t.frame, t.row, t.column) for t in d.tiles}, set(edited.tiles)),
        "meaning": ({c.attribute for c in d.meaning}, set(edited.meaning)),
        "identity": (set(d.identity), set(edited.identity)),
        "shape": (set(d.shape), set(edited.shape)),
        "moved": (set(d.frames_moved), set(edited.moved)),
        "added": (set(d.frames_added), set(edited.added)),
        "removed": (set(d.frames_removed), set(edited.removed)),
    }
    return [f"{what}: found {got}, planted {planted}" for what, (got, planted) in found.items() if got != planted]


def test_matrix_is_large_enough() -> None:
    assert len(EDITS) >= 60
    assert len(NAMES) >= 40
    assert len({e.name for e in EDITS}) == len(EDITS)


@pytest.mark.parametrize("name", NAMES)
def test_every_edit_is_named_exactly(name: str) -> None:
    file = subject(name)
    original = capture(file.content)
    wrong, done = [], Counter[str]()
    for edit in EDITS:
        edited = edit.apply(file)
        if edited is not None:
            done[edit.group] += 1
            wrong += [f"{edit}: {p}" for p in problems(original, edited)]
    assert not wrong, "\n".join(wrong[:20])
    assert done["meaning"] >= 40 and done["identity"] >= 29, done
    assert done["encoding"] >= 5 and done["broken"] >= 4, done
    assert done["pixels"] >= 10, done


def test_every_edit_applies_somewhere() -> None:
    """An operator that never applies would prove nothing."""
    chosen = [
        "MR_small.dcm",
        "CT_small.dcm",
        "SC_rgb_small_odd.dcm",
        "rtdose.dcm",
        "emri_small.dcm",
        "MR_small_RLE.dcm",
    ]
    chosen += ["SC_rgb_rle_2frame.dcm", "dicomdirtests/77654033/CR1/6154", "MR_small_bigendian.dcm"]
    chosen += ["liver_1frame.dcm", "MR_small_jp2klossless.dcm"]
    subjects = [subject(n) for n in chosen if n in FILES]
    never = [str(e) for e in EDITS if all(e.apply(s) is None for s in subjects)]
    unset = [n for n in never if not n.endswith((" removed", " emptied"))]  # not every attribute is in these files
    assert unset == []


def test_functional_groups_of_a_segmentation() -> None:
    file = subject("liver_1frame.dcm")
    original = capture(file.content)
    done = {str(e): problems(original, edited) for e in EDITS if (edited := e.apply(file)) is not None}
    assert "meaning:one frame moved in space" in done
    assert not any(done.values()), done


def test_truth_is_not_empty() -> None:
    """The test itself must fail when the comparison sees nothing."""
    file = subject("MR_small.dcm")
    edited = next(e.apply(file) for e in EDITS if e.name == "lsb of the first pixel")
    assert edited is not None and edited.tiles == {(0, 0, 0)}
    same = Edited(file.content, edited.tiers, edited.verdict, edited.tiles)
    assert problems(capture(file.content), same)


def test_files_are_found_without_the_network() -> None:
    assert all(isinstance(p, Path) and p.is_file() for p in FILES.values())
