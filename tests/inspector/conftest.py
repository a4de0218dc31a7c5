"""A preprocessed simulated database that the inspector's tests share."""

from __future__ import annotations

import pytest
from sample_clips import simulated_store


@pytest.fixture(scope="session")
def simulated(simulated_uva_nemo, tmp_path_factory):
    """Store and database of ten clips of four subjects."""
    return simulated_store(simulated_uva_nemo, tmp_path_factory.mktemp("clips"))
