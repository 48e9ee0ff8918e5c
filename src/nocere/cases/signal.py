"""Signals: recordings of whole ADC units, realised as WFDB records of format 16 (PhysioNet, header(5) and signal(5)).

A case's content is int16 [channels, samples]; its header holds what the .hea file says besides the samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nocere.core.candidate import Files
from nocere.core.canonical import Json, sha256
from nocere.core.case import Case, Truth
from nocere.core.errors import DataError

Samples: TypeAlias = NDArray[np.int16]
HEADER, DATA = "record.hea", "record.dat"
INVALID = -32768  # format 16 keeps this value for samples that are missing


def signal_case(
    case_id: str,
    x: Samples,
    truth: Truth,
    *,
    rate: float,
    gain: float = 200.0,
    unit: str = "mV",
    names: Sequence[str] = (),
    group: str = "",
    attrs: Mapping[str, str] | None = None,
) -> Case[Samples]:
    """A case from stored samples.

    Args:
        case_id: its id.
        x: int16 [channels, samples] in ADC units; none may be -32768.
        truth: what is known of it.
        rate: samples a second.
        gain: ADC units a physical unit.
        unit: the physical unit, without spaces.
        names: one a channel; default is their number.
        group: patient; default is the case itself.
        attrs: subgroups.

    Raises:
        DataError: another form, a missing sample, or a header that a .hea file cannot hold.
    """
    if x.dtype != np.int16 or x.ndim != 2 or 0 in x.shape or int(x.min()) == INVALID:
        raise DataError(
            f"Case {case_id}: samples must be int16 [channels, samples] above -32768; got {x.dtype} {x.shape}."
        )
    named = list(names) or [f"channel {k + 1}" for k in range(len(x))]
    if len(named) != len(x) or any("\n" in n or not n.strip() for n in named) or len(unit.split()) != 1:
        raise DataError(f"Case {case_id}: {len(x)} channels need as many names, and a unit without spaces.")
    if not rate > 0 or not gain > 0:
        raise DataError(f"Case {case_id}: rate and gain must be above 0; got {rate} and {gain}.")
    x = np.array(x)
    x.setflags(write=False)
    header: dict[str, Json] = {"rate": float(rate), "gain": float(gain), "unit": unit, "names": named}
    return Case(case_id, x, header, truth, group or case_id, attrs or {}, sha256(write_header(x, header) + _data(x)))


def _data(x: Samples) -> bytes:
    return np.ascontiguousarray(x.T, dtype="<i2").tobytes()


def write_header(x: Samples, header: Mapping[str, Json]) -> bytes:
    """The .hea file: a record line; a channel: file, format, gain, resolution, zero, first value, sum, block, name."""
    names = header["names"]
    assert isinstance(names, Sequence)
    lines = [f"record {x.shape[0]} {header['rate']!r} {x.shape[1]}"]
    for channel, name in zip(x, names, strict=True):
        checksum = int(channel.astype(np.int64).sum()) & 0xFFFF
        signed = checksum - 0x10000 if checksum & 0x8000 else checksum
        lines.append(f"{DATA} 16 {header['gain']!r}(0)/{header['unit']} 16 0 {int(channel[0])} {signed} 0 {name}")
    return ("\n".join(lines) + "\n").encode()


class SignalCodec:
    """Realises signal cases as WFDB records."""

    name = "signal"

    def encode(self, case: Case[Any], x: Any) -> Files:
        return {HEADER: write_header(x, case.header), DATA: _data(x)}

    def decode(self, files: Files) -> tuple[Any, Mapping[str, Json]]:
        """Samples and header.

        Raises:
            DataError: not a record that this codec writes, or a checksum that does not fit.
        """
        try:
            first, *lines = files[HEADER].decode().splitlines()
            _, channels, rate, samples = first.split()
            x = np.frombuffer(files[DATA], dtype="<i2").reshape(int(samples), int(channels)).T.astype(np.int16)
            fields = [line.split(" ", 8) for line in lines]
            gain, unit = fields[0][2].replace("(0)", "").split("/")
            header: dict[str, Json] = {
                "rate": float(rate), "gain": float(gain), "unit": unit, "names": [f[8] for f in fields],
            }  # fmt: skip
            sums = [(int(c.astype(np.int64).sum()) - int(f[6])) & 0xFFFF for c, f in zip(x, fields, strict=True)]
        except (KeyError, ValueError, IndexError, UnicodeDecodeError) as e:
            raise DataError(f"This is not a WFDB record as it was written here ({e}).") from e
        if any(sums) or write_header(x, header) != files[HEADER]:
            raise DataError("The header of this WFDB record does not belong to its samples.")
        x.setflags(write=False)
        return x, header
