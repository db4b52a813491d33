"""What all tests of the exporter begin with."""

import pytest
from prometheus_client import enable_created_metrics


@pytest.fixture(autouse=True)
def created_metrics():
    """As an application finds them: the controller, whose tests may run in this process, turns them off."""
    enable_created_metrics()
