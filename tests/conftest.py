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


@pytest.hookimpl(trylast=True)  # after others have drawn an order and left tests out
def pytest_collection_modifyitems(config, items):
    """Tests that need a build come first, dealt to the workers by their files.

    Each worker begins with a part of the list and takes from the end of another's when its own is
    done. A build at the end of the list would keep one worker busy and leave the others idle; two
    workers with tests of one file would copy its build twice.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    files = {}
    for item in items:
        if "builds" in item.fixturenames:
            files.setdefault(item.path, []).append(item)
    rest = [item for item in items if "builds" not in item.fixturenames]
    groups = list(files.values())
    total = len(items)
    items.clear()
    for worker in range(workers):
        own = [item for group in groups[worker::workers] for item in group]
        # as many as the worker is given (pytest-xdist, worksteal)
        more = max(0, (total - len(items)) // (workers - worker) - len(own))
        items += [*own, *rest[:more]]
        del rest[:more]
    items += rest


def pytest_addoption(parser):
    parser.addoption(
        "--golden-write", action="store_true", help="record what test_golden.py finds, as right"
    )
