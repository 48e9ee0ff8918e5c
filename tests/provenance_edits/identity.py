"""Edits of whose and which input it is."""

from __future__ import annotations

import warnings

from tests.provenance_edits.meaning import plain_value
from tests.provenance_edits.subject import EDITS, Edit, Edited, Subject, tag, written

IDENTITY_VALUES: dict[str, tuple[str, str]] = {
    "SOPInstanceUID": ("1.2.3.4", "1.2.3.5"),
    "StudyDate": ("20010101", "20010102"),
    "SeriesDate": ("20010101", "20010102"),
    "AcquisitionDate": ("20010101", "20010102"),
    "ContentDate": ("20010101", "20010102"),
    "AcquisitionDateTime": ("20010101101010", "20010102101010"),
    "StudyTime": ("101010", "111111"),
    "SeriesTime": ("101010", "111111"),
    "AcquisitionTime": ("101010", "111111"),
    "ContentTime": ("101010", "111111"),
    "AccessionNumber": ("A1", "A2"),
    "InstitutionName": ("Here", "There"),
    "ReferringPhysicianName": ("Doe^John", "Roe^Jane"),
    "StationName": ("CT1", "CT2"),
    "PatientName": ("Doe^John", "Roe^Jane"),
    "PatientID": ("4711", "4712"),
    "IssuerOfPatientID": ("HERE", "THERE"),
    "PatientBirthDate": ("19500101", "19510101"),
    "PatientSex": ("F", "M"),
    "PatientAge": ("050Y", "051Y"),
    "PatientSize": ("1.7", "1.8"),
    "PatientWeight": ("70", "80"),
    "DeviceSerialNumber": ("SN1", "SN2"),
    "StudyInstanceUID": ("1.2.3.6", "1.2.3.7"),
    "SeriesInstanceUID": ("1.2.3.8", "1.2.3.9"),
    "StudyID": ("S1", "S2"),
    "SeriesNumber": ("1", "2"),
    "InstanceNumber": ("1", "2"),
    "FrameOfReferenceUID": ("1.2.3.10", "1.2.3.11"),
}


def _relabel(keyword: str) -> None:
    def apply(subject: Subject) -> Edited | None:
        ds = subject.copy()
        first, second = IDENTITY_VALUES[keyword]
        value = second if keyword in ds and plain_value(ds.get(keyword)) == plain_value(first) else first
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            setattr(ds, keyword, value)
            if keyword == "SOPInstanceUID":
                ds.file_meta.MediaStorageSOPInstanceUID = value
        return Edited(written(ds), frozenset({"F4"}), "IDENTITY-COERCED", identity=frozenset({tag(keyword)}))

    EDITS.append(Edit("identity", f"{keyword} set", apply))


def _unlabel(keyword: str) -> None:
    def apply(subject: Subject) -> Edited | None:
        ds = subject.copy()
        if keyword not in ds:
            return None
        del ds[keyword]
        return Edited(written(ds), frozenset({"F4"}), "IDENTITY-COERCED", identity=frozenset({tag(keyword)}))

    EDITS.append(Edit("identity", f"{keyword} removed", apply))


for _keyword in IDENTITY_VALUES:
    _relabel(_keyword)
for _keyword in ("PatientID", "PatientName", "AccessionNumber", "StudyDate", "FrameOfReferenceUID"):
    _unlabel(_keyword)
