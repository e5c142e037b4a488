# SPDX-License-Identifier: Apache-2.0
"""What all tests share."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow, and that is no finding.
settings.register_profile("terrapatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("terrapatch")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real samples beside the checkout; tests skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the folder of real samples (../shared/data) is not beside this checkout")
    return SHARED
