"""The same named transform by other implementations, for the tolerances of the explanation search."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from nocere.provenance.investigate.explain_catalogue import Image, Step, apply_steps, jpeg, jpeg2000, resize

Compared = tuple[tuple[str, str, str], Image, int, Image, Image]
QUALITIES, RATIOS = (40, 75, 95), (5.0, 20.0)
SAMPLING = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}


def has(module: str) -> bool:
    """Whether a peer is installed; says once that it is not."""
    found = find_spec(module) is not None
    if not found and module not in _SAID:
        _SAID.add(module)
        print(f"not installed, not compared: {module}", file=sys.stderr)
    return found


_SAID: set[str] = set()


def peers(image: Image) -> Iterator[Compared]:
    """(transform, implementation, settings), the original, its bits, the catalogue's result, the peer's result."""
    yield from _jpeg(image)
    yield from _jpeg2000(image)
    yield from _resize(image)
    yield from _grey(image)


def _jpeg(image: Image) -> Iterator[Compared]:
    for quality in QUALITIES:
        for sampling in SAMPLING if image.ndim == 3 else ("4:4:4",):
            ours = jpeg(image, quality, sampling)
            held = io.BytesIO()
            Pillow.fromarray(image).save(held, "JPEG", quality=quality, subsampling=sampling)
            settings = sampling if image.ndim == 3 else "grey"
            for who, theirs in _jpeg_peers(image, held.getvalue(), quality, sampling):
                yield ("jpeg", who, settings), image, 8, ours, theirs


def _jpeg_peers(image: Image, encoded: bytes, quality: int, sampling: str) -> Iterator[tuple[str, Image]]:
    flat = image.ndim == 2
    if has("cv2"):
        import cv2

        bgr = image if flat else image[..., ::-1]
        flag = {"4:4:4": 0x111111, "4:2:2": 0x211111, "4:2:0": 0x221111}[sampling]
        decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
        yield "OpenCV decodes", decoded if flat else decoded[..., ::-1]
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, flag]
        yield "OpenCV encodes", _pillow(cv2.imencode(".jpg", bgr, options)[1].tobytes())
    if has("imagecodecs"):
        import imagecodecs

        yield "imagecodecs decodes", imagecodecs.jpeg8_decode(encoded)
    if shutil.which("dcmcjpeg") and sampling != "4:2:0" and has("pydicom"):
        yield from _dcmtk(image, quality, sampling)
    if has("jpeglib"):
        yield from _jpeglib(image, encoded, quality, sampling)


def _pillow(encoded: bytes) -> Image:
    return np.asarray(Pillow.open(io.BytesIO(encoded)))


def _jpeglib(image: Image, encoded: bytes, quality: int, sampling: str) -> Iterator[tuple[str, Image]]:
    import jpeglib

    flat = image.ndim == 2
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "a.jpg"), Path(folder, "b.jpg")
        path.write_bytes(encoded)
        for version, name in (
            ("6b", "libjpeg 6b"),
            ("9e", "libjpeg 9e"),
            ("turbo210", "turbo"),
            ("mozjpeg403", "mozjpeg"),
        ):
            jpeglib.version.set(version)
            for method, dct in ((0, "slow"), (1, "fast"), (2, "float")):
                if method and version in ("9e", "mozjpeg403"):
                    continue
                decoded = jpeglib.read_spatial(str(path), dct_method=method).spatial
                yield f"{name} {dct} decodes", decoded[..., 0] if flat else decoded
                held = jpeglib.from_spatial(image[..., None] if flat else image)
                held.samp_factor = ((1, 1),) if flat else (SAMPLING[sampling], (1, 1), (1, 1))
                held.write_spatial(str(out), qt=quality, dct_method=method)
                yield f"{name} {dct} encodes", _pillow(out.read_bytes())


def _wrapped(image: Image, path: Path) -> None:
    """A minimal Secondary Capture file around the pixels."""
    import pydicom

    d = pydicom.Dataset()
    d.file_meta = pydicom.dataset.FileMetaDataset()
    d.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    d.StudyInstanceUID, d.SeriesInstanceUID, d.Modality, d.PatientID, d.PatientName = "1.2.3", "1.2.5", "OT", "x", "x"
    d.Rows, d.Columns = image.shape[:2]
    d.SamplesPerPixel = 1 if image.ndim == 2 else 3
    d.PhotometricInterpretation = "MONOCHROME2" if image.ndim == 2 else "RGB"
    if image.ndim == 3:
        d.PlanarConfiguration = 0
    d.BitsAllocated = d.BitsStored = 8
    d.HighBit, d.PixelRepresentation, d.PixelData = 7, 0, image.tobytes()
    d.save_as(path, enforce_file_format=True)


def _dcmtk(image: Image, quality: int, sampling: str) -> Iterator[tuple[str, Image]]:
    import pydicom
    from pydicom.pixels import pixel_array

    with tempfile.TemporaryDirectory() as folder:
        raw, coded, back = (Path(folder, n) for n in ("a.dcm", "b.dcm", "c.dcm"))
        _wrapped(image, raw)
        chroma = [] if image.ndim == 2 else ["+s4" if sampling == "4:4:4" else "+s2"]
        # +sr: by default dcmcjpeg stretches the range of the image first.
        subprocess.run(["dcmcjpeg", "+eb", "+q", str(quality), "+sr", *chroma, raw, coded], check=True)
        subprocess.run(["dcmdjpeg", coded, back], check=True)
        yield "DCMTK encodes and decodes", pydicom.dcmread(back).pixel_array
        if has("gdcm"):
            yield "DCMTK encodes, GDCM decodes", pixel_array(coded, decoding_plugin="gdcm")


def _jpeg2000(image: Image) -> Iterator[Compared]:
    kind = "grey" if image.ndim == 2 else "colour"
    for ratio in RATIOS:
        held = io.BytesIO()
        Pillow.fromarray(image).save(
            held,
            "JPEG2000",
            quality_mode="rates",
            quality_layers=[ratio],
            irreversible=True,
            mct=int(image.ndim == 3),
            no_jp2=True,
        )
        ours = jpeg2000(image, ratio, "9/7", "transformed", 8)
        if has("openjpeg"):
            from openjpeg.utils import decode, encode_array

            yield ("jpeg2000", "pylibjpeg-openjpeg decodes", kind), image, 8, ours, decode(held.getvalue())
            meaning = 2 if image.ndim == 2 else 1
            coded = encode_array(image, photometric_interpretation=meaning, compression_ratios=[ratio])
            yield ("jpeg2000", "pylibjpeg-openjpeg encodes", kind), image, 8, ours, decode(coded)
        if has("imagecodecs"):
            import imagecodecs

            yield ("jpeg2000", "imagecodecs decodes", kind), image, 8, ours, imagecodecs.jpeg2k_decode(held.getvalue())
        if has("cv2"):
            import cv2

            decoded = cv2.imdecode(np.frombuffer(held.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
            yield (
                ("jpeg2000", "OpenCV decodes", kind),
                image,
                8,
                ours,
                decoded if image.ndim == 2 else decoded[..., ::-1],
            )


def _resize(image: Image) -> Iterator[Compared]:
    rows, columns = image.shape[:2]
    half, odd = (rows // 2, columns // 2), (round(rows * 0.7), round(columns * 0.7))
    if has("cv2"):
        import cv2

        pairs = (
            ("box", cv2.INTER_AREA, half),
            ("box-float", cv2.INTER_AREA, half),
            ("bilinear-fixed", cv2.INTER_LINEAR, odd),
            ("nearest", cv2.INTER_NEAREST, odd),
        )
        for kind, flag, size in pairs:
            yield (
                ("resize", "OpenCV", kind),
                image,
                8,
                resize(image, *size, kind),
                cv2.resize(image, size[::-1], interpolation=flag),
            )
    if has("torch"):
        import torch

        planes = torch.from_numpy(image.reshape(rows, columns, -1)).permute(2, 0, 1)[None].double()
        for kind, anti in (("bilinear-float", True), ("bicubic-float", True), ("bilinear-plain", False)):
            mode = kind.split("-")[0]
            out = torch.nn.functional.interpolate(planes, odd, mode=mode, antialias=anti, align_corners=False)
            made = out[0].round().clip(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
            yield ("resize", "torch", kind), image, 8, resize(image, *odd, kind), made.reshape((*odd, *image.shape[2:]))


def _grey(image: Image) -> Iterator[Compared]:
    for gain, offset in ((1.13, -7.0), (1.1, 10.0), (0.85, 3.3)):
        p = {"gain": gain, "offset": offset, "bits": 8, "rounding": "even"}
        ours = apply_steps(image, 8, [Step("affine", p)])
        single = np.rint(image.astype(np.float32) * np.float32(gain) + np.float32(offset))
        yield ("affine", "single precision", "-"), image, 8, ours, np.clip(single, 0, 255).astype(np.uint8)
        if has("cv2"):
            import cv2

            yield ("affine", "OpenCV convertTo", "-"), image, 8, ours, _converted(cv2, image, gain, offset)
    wide = image.astype(np.uint16) * 16 + (image.astype(np.uint16) * 7) % 16
    for centre, width in ((2048, 1500), (1040, 401)):
        ours = apply_steps(
            wide, 12, [Step("window", {"centre": centre, "width": width, "bits": 8, "rounding": "even"})]
        )
        if has("pydicom") and image.ndim == 2:
            from pydicom import Dataset
            from pydicom.pixels import apply_windowing

            d = Dataset()
            d.WindowCenter, d.WindowWidth, d.PhotometricInterpretation = centre, width, "MONOCHROME2"
            d.BitsStored, d.PixelRepresentation = 12, 0
            out = apply_windowing(wide, d)
            yield (
                ("window", "pydicom, then to 8 bits", "12 bits"),
                wide,
                12,
                ours,
                np.rint(out / 4095 * 255).astype(np.uint8),
            )


def _converted(cv2: object, image: Image, gain: float, offset: float) -> Image:
    """OpenCV's saturating rescale."""
    out = cv2.addWeighted(image, gain, image, 0.0, offset)  # type: ignore[attr-defined]
    return np.asarray(out)
