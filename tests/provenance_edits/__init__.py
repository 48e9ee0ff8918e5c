"""Edits of DICOM files with their planted truth: what was done is known from the edit, never from the code under test.

Shared by the tests and by benchmarks/provenance_tools.py. Files are read and written with pydicom; truth about pixels
is a comparison of the two arrays that pydicom decodes, truth about attributes is the list of elements that were touched.
"""

from __future__ import annotations

# Every module adds its operators to EDITS when it is imported, in this order.
from tests.provenance_edits import broken, encoding, identity, meaning, pixels  # noqa: F401
from tests.provenance_edits.identity import IDENTITY_VALUES
from tests.provenance_edits.meaning import MEANING_VALUES, plain_value
from tests.provenance_edits.subject import (
    EDITS,
    Edited,
    Subject,
    largest_difference,
    set_pixels,
    tag,
    test_files,
    written,
)

__all__ = [
    "EDITS",
    "IDENTITY_VALUES",
    "MEANING_VALUES",
    "Edited",
    "Subject",
    "largest_difference",
    "plain_value",
    "set_pixels",
    "tag",
    "test_files",
    "written",
]
