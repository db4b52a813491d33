"""How Prometheus and Alertmanager are asked is named as in Prometheus' http_config, and secrets stay in files."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from rearguard_controller.config.http_config import Header, HttpConfig, TlsConfig
from rearguard_controller.config.keys.schema import schema
from rearguard_controller.errors import ConfigError
from unit.controller.test_config import SMALL, parse

FOLDER = Path("/etc/rearguard")
VALID = Draft202012Validator(schema())


def text(section, keys):
    """A configuration whose `prometheus` or `alertmanager` has these keys."""
    document = yaml.safe_load(SMALL)
    document[section] = {"url": "http://prometheus:9090", **keys}
    return yaml.safe_dump(document)


def settings(section, keys):
    return getattr(parse(text(section, keys)), section).http


@pytest.mark.parametrize("section", ["prometheus", "alertmanager"])
@pytest.mark.parametrize(
    ("keys", "meant"),
    [
        ({}, HttpConfig()),
        ({"token_file": "t"}, HttpConfig(FOLDER / "t")),
        (
            {"basic_auth": {"username": "rearguard", "password_file": "/run/p"}},
            HttpConfig(Path("/run/p"), "rearguard", "Basic", "basic_auth"),
        ),
        ({"authorization": {"credentials_file": "t"}}, HttpConfig(FOLDER / "t", said_by="authorization")),
        (
            {"authorization": {"type": "Token", "credentials_file": "t"}},
            HttpConfig(FOLDER / "t", "", "Token", "authorization"),
        ),
        ({"ca_file": "ca.pem"}, HttpConfig(tls=TlsConfig(FOLDER / "ca.pem"))),
        (
            {"tls_config": {"ca_file": "ca", "cert_file": "c", "key_file": "k", "server_name": "prom"}},
            HttpConfig(tls=TlsConfig(FOLDER / "ca", FOLDER / "c", FOLDER / "k", "prom")),
        ),
        (
            {"http_headers": {"X-Scope-OrgID": {"values": ["shop"]}, "X-Key": {"files": ["key"]}}},
            HttpConfig(headers={"X-Scope-OrgID": Header(("shop",)), "X-Key": Header((), (FOLDER / "key",))}),
        ),
    ],
)
def test_each_key_means_what_it_means_in_prometheus(section, keys, meant):
    VALID.validate(yaml.safe_load(text(section, keys)))
    assert settings(section, keys) == meant


@pytest.mark.parametrize(
    ("keys", "right"),
    [
        ({"url": "http://ann:s3cret@prometheus:9090"}, "basic_auth: {username: ..., password_file: ...}"),
        ({"url": "http://s3cret@prometheus:9090"}, "basic_auth"),
        ({"url": "http://prometheus:9090/?token=s3cret"}, "before ?"),
        ({"basic_auth": {"username": "a", "password": "s3cret"}}, "password_file"),
        ({"basic_auth": {"username": "a:s3cret", "password_file": "p"}}, "password_file"),
        ({"basic_auth": {"username": "a"}}, "password_file"),
        ({"authorization": {"credentials": "s3cret"}}, "credentials_file"),
        ({"authorization": {"type": "Basic", "credentials_file": "x"}}, "basic_auth"),
        ({"authorization": {"type": "a b", "credentials_file": "x"}}, "one word"),
        ({"bearer_token": "s3cret"}, "token_file"),
        ({"bearer_token_file": "t"}, "token_file"),
        ({"username": "a"}, "basic_auth"),
        ({"cert_file": "c", "key_file": "k"}, "tls_config: {cert_file"),
        ({"headers_file": "h"}, "http_headers"),
        ({"tls_config": {"cert_file": "c"}}, "key_file"),
        ({"ca_file": "a", "tls_config": {}}, "into tls_config"),
        ({"token_file": "t", "basic_auth": {"username": "a", "password_file": "p"}}, "keep one"),
        ({"http_headers": {"Authorization": {"values": ["s3cret"]}}}, "basic_auth or authorization"),
        ({"http_headers": {"X A": {"values": ["a"]}}}, "X-Scope-OrgID"),
        ({"http_headers": {"X-A": {}}}, "values"),
        ({"http_headers": {"X-A": {"secrets": ["s3cret"]}}}, "files"),
        ({"http_headers": {"X-A": "shop"}}, "mapping"),
    ],
)
def test_what_is_refused_says_what_to_write_and_never_shows_a_secret(keys, right):
    with pytest.raises(ConfigError) as caught:
        settings("prometheus", keys)
    assert right in caught.value.message
    assert "s3cret" not in caught.value.message + caught.value.hint
