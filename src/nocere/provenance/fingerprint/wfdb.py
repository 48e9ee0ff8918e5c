"""WFDB records (header, signal files, annotations): digital samples, and what turns them into millivolts and leads.

Header format: WFDB Applications Guide, header(5). The samples are those of wfdb-python, without conversion.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nocere.core.canonical import sha256
from nocere.core.errors import DataError, PrerequisiteError
from nocere.provenance.fingerprint.dicom_values import decimal_text
from nocere.provenance.fingerprint.reading import Reading, Undecodable, received_hash
from nocere.provenance.fingerprint.tiles import Shape, little_endian

# A tile is this many samples of one channel.
TILE_SAMPLES = 1024
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,16})?")
# Bits of a sample by signal file format, signal(5), uncompressed formats.
BITS = {"8": 8, "16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16, "212": 12, "310": 10, "311": 10}
SIGNAL = {
    "units": "amplitudes are read in another unit",
    "adc_gain": "amplitudes are scaled otherwise",
    "baseline": "the zero line lies elsewhere",
    "sig_name": "the samples are taken for another lead",
}
# They say how the converter was built; gain and baseline alone give the amplitude, and rewriting changes them.
CONVERTER = ("adc_zero", "adc_res")
RECORD = {
    "fs": "times, rates and intervals are computed otherwise",
    "counter_freq": "times are counted otherwise",
    "base_counter": "times are counted otherwise",
}


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return decimal_text(repr(value)) or str(value) if isinstance(value, (int, float)) else str(value)


def _header_name(files: Mapping[str, bytes]) -> str:
    wrong = sum(not NAME.fullmatch(n) for n in files)
    if wrong:
        raise DataError(f"{wrong} of the WFDB files have a name that WFDB does not allow.", "Give bare file names.")
    headers = [n for n in files if n.endswith(".hea")]
    if len(headers) != 1:
        raise DataError(f"A WFDB record needs one header (.hea); there are {len(headers)}.")
    return headers[0]


def _wfdb() -> Any:
    try:
        with warnings.catch_warnings():  # its tables are built with calls that pandas has deprecated
            warnings.simplefilter("ignore")
            import wfdb
    except ModuleNotFoundError as e:
        raise PrerequisiteError("WFDB records need the package wfdb.", "Install it with: pip install wfdb") from e
    return wfdb


def _record(files: Mapping[str, bytes], header: str, max_decoded: int) -> Any:
    wfdb = _wfdb()
    with tempfile.TemporaryDirectory(prefix="nocere-") as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        base = str(Path(folder) / header.removesuffix(".hea"))
        try:
            head = wfdb.rdheader(base)
        except Exception as e:  # wfdb raises what its parsing raises; the header may hold patient data
            raise DataError(f"The WFDB header cannot be read ({type(e).__name__}).") from e
        _check(head, files, max_decoded)
        try:
            return wfdb.rdrecord(base, physical=False)
        except Exception as e:
            raise Undecodable(f"The WFDB signals cannot be decoded ({type(e).__name__}).") from e


def _check(head: Any, files: Mapping[str, bytes], max_decoded: int) -> None:
    if getattr(head, "n_seg", None) is not None:
        raise Undecodable("WFDB records of several segments are not read here.", "Give each segment by itself.")
    if (
        not head.n_sig
        or not head.sig_len
        or head.sig_len < 0
        or not head.file_name
        or len(head.file_name) != head.n_sig
    ):
        raise Undecodable("The WFDB header does not name its signals, or not how long they are.")
    missing = {n for n in head.file_name if n not in files}
    if missing:
        raise DataError(f"{len(missing)} signal file(s) that the WFDB header names are not there.")
    if set(head.fmt) - set(BITS):
        raise Undecodable(f"WFDB signal format is none of {', '.join(BITS)}.")
    if any(n not in (None, 1) for n in head.samps_per_frame):
        raise Undecodable("WFDB signals with several samples a frame are not read here.")
    if head.sig_len * head.n_sig * 8 > max_decoded:
        raise Undecodable(f"The WFDB signals decode to more than {max_decoded} bytes.", "Raise max_decoded if meant.")


def _per_channel(record: Any, names: tuple[str, ...]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in names:
        values = getattr(record, name, None) or [None] * record.n_sig
        found.update({f"signal {channel} {name}": _text(value) for channel, value in enumerate(values)})
    return found


def read_wfdb(files: Mapping[str, bytes], max_decoded: int) -> Reading:
    """Read a WFDB record of one segment with one sample a frame.

    Args:
        files: file name -> bytes: one header, the signal files that it names, and any annotation files.

    Raises:
        DataError: names, header or files do not fit each other.
        Undecodable: a signal format, or a kind of record, that is not read here.
        PrerequisiteError: wfdb is not installed.
    """
    header = _header_name(files)
    record = _record(files, header, max_decoded)
    samples = np.asarray(record.d_signal)
    length, channels = samples.shape
    bits = max(BITS[f] for f in record.fmt)
    shape = Shape(1, length, channels, 1, 16 if bits <= 16 else 32, "i", TILE_SAMPLES, 1)
    pixels = little_endian(samples.astype("i2" if bits <= 16 else "i4")).reshape(1, length, channels, 1)
    pixels.setflags(write=False)
    meaning: dict[str, str | None] = {name: _text(getattr(record, name, None)) for name in RECORD}
    meaning.update(_per_channel(record, tuple(SIGNAL)))
    signal_files = set(record.file_name)
    for name, data in files.items():
        if name != header and name not in signal_files:
            meaning[f"annotation {name.rpartition('.')[2]}"] = f"sha256:{sha256(data)}:{len(data)}"
    identity: dict[str, str | None] = {
        "record name": record.record_name,
        "base date": _text(record.base_date),
        "base time": _text(record.base_time),
        "comments": "\n".join(record.comments) if record.comments else None,
    }
    dataset = {**meaning, **identity, **_per_channel(record, CONVERTER)}
    return Reading("wfdb", received_hash(files), pixels, shape, (), meaning, identity, dataset)
