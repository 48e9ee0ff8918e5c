"""One small bundle for all tests of the report."""

from __future__ import annotations

import pytest
from tests.bundles import small_bundle

from nocere.audit.bundle import Bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A finished audit."""
    return small_bundle(tmp_path_factory.mktemp("report") / "bundle")
