"""One small bundle for all tests of the report."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from bundles import small_bundle
from nocere.audit.bundle import Bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A finished audit."""
    return small_bundle(tmp_path_factory.mktemp("report") / "bundle")
