"""Where the API server is, and who asks: kubeconfig files as kubectl writes them, and those that cannot be used."""

import base64

import pytest
import yaml

from rearguard_controller.adapters.kubernetes.access import access
from rearguard_controller.config import KubernetesSettings
from rearguard_controller.errors import SourceError


def kubeconfig(folder, *, cluster=None, user=None, **more):
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": "https://k.example:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user if user is not None else {"token": "abc"}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "c", "user": "nobody"}},
        ],
        **more,
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    return file


def asked(folder, file, context=""):
    private = folder / "private"
    private.mkdir(exist_ok=True, mode=0o700)
    return access(KubernetesSettings(file, context), private)


def test_inline_credentials_are_kept_in_files_that_only_their_owner_reads(tmp_path):
    inline = {"certificate-authority-data": base64.b64encode(b"CA").decode()}
    found = asked(tmp_path, kubeconfig(tmp_path, cluster=inline))
    assert found.url == "https://k.example:6443"
    assert found.http.secret_file.read_text() == "abc"
    assert found.http.tls.ca_file.read_bytes() == b"CA"
    for file in (found.http.secret_file, found.http.tls.ca_file):
        assert file.stat().st_mode & 0o777 == 0o600


def test_named_files_are_used_where_they_lie(tmp_path):
    user = {"tokenFile": "tokens/t", "client-certificate": "/etc/c.pem", "client-key": "k.pem"}
    found = asked(tmp_path, kubeconfig(tmp_path, cluster={"certificate-authority": "ca.pem"}, user=user))
    assert found.http.secret_file == tmp_path / "tokens/t"
    assert (found.http.tls.cert_file.as_posix(), found.http.tls.key_file) == ("/etc/c.pem", tmp_path / "k.pem")
    assert found.http.tls.ca_file == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("change", "context", "told"),
    [
        ({"user": {"exec": {"command": "aws"}}}, "", "logs in by a plugin"),
        ({"user": {"auth-provider": {"name": "gcp"}}}, "", "logs in by a plugin"),
        ({"cluster": {"insecure-skip-tls-verify": True}}, "", "skips the check"),
        ({"cluster": {"server": "k.example"}}, "", "begins with https://"),
        ({"cluster": {"certificate-authority-data": "%%"}}, "", "is not base64"),
        ({}, "three", "no context named 'three'"),
        ({}, "two", "no user named 'nobody'"),
        ({"current-context": ""}, "", "no current-context"),
        ({"clusters": "none"}, "", "no cluster named 'c'"),
        ({"contexts": [None]}, "", "no context named 'one'"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_name_and_without_its_secrets(tmp_path, change, context, told):
    file = kubeconfig(tmp_path, **change)
    with pytest.raises(SourceError) as error:
        asked(tmp_path, file, context)
    assert told in error.value.message
    assert str(file) in error.value.message
    assert error.value.hint
    assert "abc" not in error.value.message


@pytest.mark.parametrize("text", ["", "[]", "a: [", "\x00", "&a [*a]"])
def test_a_file_that_is_no_kubeconfig_is_told(tmp_path, text):
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(SourceError, match="cannot be used"):
        asked(tmp_path, file)


def test_outside_a_cluster_and_without_a_file_it_is_said_what_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SourceError) as error:
        asked(tmp_path, None)
    assert "kubernetes.kubeconfig" in error.value.hint
