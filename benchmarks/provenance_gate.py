"""What the gate costs above decoding: 512 x 512 x 16 bit DICOM, uncompressed, in one process.

    python benchmarks/provenance_gate.py

Beside it what a plain check would cost: SHA-256 of the file looked up in a dictionary, and pydicom's decoding alone.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

import nocere.provenance.gate.gate as gate_module
from nocere.provenance.capture import capture
from nocere.provenance.fingerprint.reading import read
from nocere.provenance.gate.recipe import Recipe
from nocere.provenance.gate.route import Route, register
from nocere.provenance.site import Site

N = 400


def file(i: int) -> bytes:
    """A synthetic CT slice of 512 x 512 x 16 bit."""
    rng = np.random.default_rng(i)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{i}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.PatientID, ds.Modality = "1.2.3", "1.2.3", "BENCH", "CT"
    ds.Rows = ds.Columns = 512
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 1
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.RescaleSlope, ds.RescaleIntercept = "1", "-1024"
    ds.PixelData = rng.integers(-1000, 3000, (512, 512), dtype=np.int16).tobytes()
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


class Clock:
    """Milliseconds of every call of `work`, as long as the clock stands around it."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self.work = work
        self.took: list[float] = []

    def __call__(self, *args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        done = self.work(*args, **options)
        self.took.append(1e3 * (time.perf_counter() - began))
        return done


def main() -> None:
    """Print the table.

    All steps take turns on different files, so that each meets its file as cold as a file that has just arrived.
    """
    contents = [file(i) for i in range(N)]
    known = {hashlib.sha256(c).digest() for c in contents}
    recipe = Recipe.of("frame", [{"op": "frame", "index": 0}])
    plain = Clock(lambda c: hashlib.sha256(c).digest() in known)
    pydicom_alone = Clock(lambda c: pydicom.dcmread(io.BytesIO(c)).pixel_array)
    inside = gate_module.read = Clock(read)  # the gate's own decoding, timed where it happens
    with tempfile.TemporaryDirectory() as folder:
        site = Site.create(Path(folder) / "site", "bench.nocere.invalid/1")
        capture(site, [(str(i), partial(bytes, c)) for i, c in enumerate(contents)])
        register(site, recipe)
        route = Route("bench", "none", "0", recipe)
        with gate_module.Gate(site, route, alarm=lambda s: print(s, file=sys.stderr)) as gate:
            whole = Clock(gate.open)
            for i, content in enumerate(contents):
                # The record is written while the model runs; here the next input waits for it, uncounted.
                assert whole(content).verdict.record.result() > 0
                pydicom_alone(contents[i - N // 3])
                plain(contents[i - 2 * N // 3])
        site.close()
    gate_ms, own, peer = (np.array(c.took[N // 10 :]) for c in (whole, inside, pydicom_alone))
    rows = {
        "SHA-256 of the file, looked up in a set": np.array(plain.took[N // 10 :]),
        "pydicom: parse and decode": peer,
        "nocere: parse strictly and decode (inside the gate)": own,
        "nocere: whole gate, record queued": gate_ms,
        "nocere: gate above its own decoding, input by input": gate_ms - own,
        "nocere: gate above pydicom's median": gate_ms - np.median(peer),
    }
    print("| step | p50 ms | p99 ms |\n|---|---|---|")
    for name, took in rows.items():
        print(f"| {name} | {np.percentile(took, 50):.2f} | {np.percentile(took, 99):.2f} |")


if __name__ == "__main__":
    main()
