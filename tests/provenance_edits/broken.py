"""Files that must be refused."""

from __future__ import annotations

from collections.abc import Callable

from pydicom.uid import UID, ExplicitVRBigEndian

from tests.provenance_edits.subject import EDITS, Edit, Edited, Subject, set_pixels, written


def broken(name: str) -> Callable[[Callable[[Subject], bytes | None]], Callable[[Subject], bytes | None]]:
    """Register an edit after which the file must be refused."""

    def add(edit: Callable[[Subject], bytes | None]) -> Callable[[Subject], bytes | None]:
        def apply(subject: Subject) -> Edited | None:
            content = edit(subject)
            return None if content is None else Edited(content, frozenset(), "REFUSED")

        EDITS.append(Edit("broken", name, apply))
        return edit

    return add


def _explicit(subject: Subject) -> bytes | None:
    if not subject.editable:
        return None
    return subject.with_pixels(subject.array) if subject.syntax != ExplicitVRBigEndian else None


@broken("a tag twice")
def _(subject: Subject) -> bytes | None:
    content = _explicit(subject)
    at = content.find(b"\x28\x00\x10\x00US") if content else -1
    return content[:at] + content[at : at + 10] + content[at:] if content and at > 0 else None


@broken("pixel data twice")
def _(subject: Subject) -> bytes | None:
    content = _explicit(subject)
    at = content.rfind(b"\xe0\x7f\x10\x00O") if content else -1
    return content + content[at:] if content and at > 0 else None


@broken("float pixel data beside pixel data")
def _(subject: Subject) -> bytes | None:
    if not subject.editable or subject.syntax == ExplicitVRBigEndian:
        return None
    ds = subject.copy()
    set_pixels(ds, subject.array)
    ds.add_new(0x7FE00008, "OF", b"\x00" * 4 * subject.array.size)
    return written(ds)


@broken("cut off by one byte")
def _(subject: Subject) -> bytes:
    return subject.content[:-1]


@broken("cut in half")
def _(subject: Subject) -> bytes:
    return subject.content[: len(subject.content) // 2]


@broken("one row more in the header")
def _(subject: Subject) -> bytes | None:
    ds = subject.copy()
    size = subject.array.size * ds.BitsAllocated // 8
    if not subject.editable or (subject.native and len(ds.PixelData) > size + 1):
        return None  # with padding for one more row the header is right again
    ds.Rows += 1
    return written(ds)


@broken("three frames more in the header")
def _(subject: Subject) -> bytes:
    ds = subject.copy()
    ds.NumberOfFrames = int(ds.get("NumberOfFrames") or 1) + 3
    return written(ds)


@broken("high bit below bits stored")
def _(subject: Subject) -> bytes:
    ds = subject.copy()
    ds.HighBit = ds.BitsStored - 2 if ds.BitsStored > 1 else 5
    return written(ds)


@broken("no transfer syntax")
def _(subject: Subject) -> bytes:
    return subject.content.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x11\x00UI", 1)


@broken("unknown transfer syntax")
def _(subject: Subject) -> bytes | None:
    old = subject.syntax.encode()
    return subject.content.replace(old, old[:-1] + b"7", 1) if UID(subject.syntax).is_compressed else None
