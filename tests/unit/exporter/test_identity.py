"""Who the process says it is, and which source wins."""

import pytest

from rearguard_exporter.identity import Identity, resolve

OTEL = {
    "OTEL_SERVICE_NAME": "otel",
    "OTEL_RESOURCE_ATTRIBUTES": "service.name=attr,service.version=2.0,deployment.environment.name=staging",
}
OWN = {"REARGUARD_SERVICE": "own", "REARGUARD_VERSION": "3.0", "REARGUARD_ENVIRONMENT": "production"}


@pytest.mark.parametrize(
    ("environ", "arguments", "expected"),
    [
        ({}, (), Identity("unknown_service", "unknown", "unknown")),
        (OTEL, (), Identity("otel", "2.0", "staging")),
        (OTEL | OWN, (), Identity("own", "3.0", "production")),
        (OTEL | OWN, ("arg", "4.0", "test"), Identity("arg", "4.0", "test")),
        (OTEL, ("arg", None, ""), Identity("arg", "2.0", "staging")),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a%2Cb%3Dc , deployment.environment=old,novalue,=x"},
            (),
            Identity("a,b=c", "unknown", "old"),
        ),
    ],
)
def test_the_first_source_that_knows_wins(environ, arguments, expected):
    assert resolve(*arguments, environ=environ) == expected
