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

from nocere.provenance.capture import capture
from nocere.provenance.fingerprint.reading import read
from nocere.provenance.gate.gate import Gate
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


def timed(
    work: Callable[[bytes], Any], contents: list[bytes], after: Callable[[Any], Any] = lambda _: None
) -> np.ndarray[Any, Any]:
    """Milliseconds of every call; what comes after it is not counted."""
    took = []
    for content in contents:
        began = time.perf_counter()
        done = work(content)
        took.append(1e3 * (time.perf_counter() - began))
        after(done)
    return np.array(took[len(took) // 10 :])


def main() -> None:
    """Print the table."""
    contents = [file(i) for i in range(N)]
    known = {hashlib.sha256(c).digest() for c in contents}
    recipe = Recipe.of("frame", [{"op": "frame", "index": 0}])
    with tempfile.TemporaryDirectory() as folder:
        site = Site.create(Path(folder) / "site", "bench.nocere.invalid/1")
        capture(site, [(str(i), partial(bytes, c)) for i, c in enumerate(contents)])
        register(site, recipe)
        rows = {
            "SHA-256 of the file, looked up in a set": timed(lambda c: hashlib.sha256(c).digest() in known, contents),
            "pydicom: parse and decode": timed(lambda c: pydicom.dcmread(io.BytesIO(c)).pixel_array, contents),
            "nocere: read (parse strictly and decode)": timed(read, contents),
        }
        with Gate(site, Route("bench", "none", "0", recipe), alarm=lambda s: print(s, file=sys.stderr)) as gate:
            # The record is written while the model runs; here the next input waits for it, uncounted.
            rows["nocere: whole gate, record queued"] = timed(gate.open, contents, lambda o: o.verdict.record.result())
        site.close()
    decode = np.median(rows["nocere: read (parse strictly and decode)"])
    rows["nocere: gate above its own decoding"] = rows["nocere: whole gate, record queued"] - decode
    print("| step | p50 ms | p99 ms |\n|---|---|---|")
    for name, took in rows.items():
        print(f"| {name} | {np.percentile(took, 50):.2f} | {np.percentile(took, 99):.2f} |")


if __name__ == "__main__":
    main()
