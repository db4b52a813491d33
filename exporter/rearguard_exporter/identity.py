"""Who this process is: service, version and environment, from arguments or environment variables.

Precedence: argument, `REARGUARD_*`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` (pairs
`key=value`, comma-separated, percent-encoded: https://opentelemetry.io/docs/specs/otel/resource/sdk/), the variables
of Datadog and Sentry, default.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

UNKNOWN_SERVICE = "unknown_service"
UNKNOWN = "unknown"


class Identity(NamedTuple):
    """The labels of `target_info`; never empty."""

    service: str
    version: str
    environment: str


def resolve(
    service: str | None = None,
    version: str | None = None,
    environment: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Identity:
    """The identity. An empty text counts as not given."""
    env = os.environ if environ is None else environ
    resource = _attributes(env.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    return Identity(
        service=service
        or env.get("REARGUARD_SERVICE")
        or env.get("OTEL_SERVICE_NAME")
        or resource.get("service.name")
        or env.get("DD_SERVICE")
        or UNKNOWN_SERVICE,
        version=version
        or env.get("REARGUARD_VERSION")
        or resource.get("service.version")
        or env.get("DD_VERSION")
        or env.get("SENTRY_RELEASE")
        or UNKNOWN,
        environment=environment
        or env.get("REARGUARD_ENVIRONMENT")
        or resource.get("deployment.environment.name")
        or resource.get("deployment.environment")  # its name until semantic conventions 1.27
        or env.get("DD_ENV")
        or env.get("SENTRY_ENVIRONMENT")
        or UNKNOWN,
    )


def _attributes(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(","))
    return {key.strip(): unquote(value.strip()) for key, sign, value in pairs if sign}
