"""The vendors' receivers on loopback."""

import pytest

from real.exporter.apm.datadog_agent import DatadogAgent
from real.exporter.apm.sentry_receiver import SentryReceiver


@pytest.fixture
def sentry():
    made = SentryReceiver()
    yield made
    made.close()


@pytest.fixture(scope="session")
def agent(tmp_path_factory):
    made = DatadogAgent(tmp_path_factory.mktemp("agent"))
    yield made
    made.close()
