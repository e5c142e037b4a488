# SPDX-License-Identifier: Apache-2.0
"""What all tests share."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from made.builds import Builds

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


@pytest.fixture(scope="session")
def builds(tmp_path_factory, worker_id):
    """Builds that all processes of this run share."""
    folder = tmp_path_factory.getbasetemp()
    return Builds((folder if worker_id == "master" else folder.parent) / "builds")


def pytest_addoption(parser):
    parser.addoption(
        "--golden-write", action="store_true", help="record what test_golden.py finds, as right"
    )
