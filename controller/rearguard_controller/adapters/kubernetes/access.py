"""Where the API server is, and who asks it: a pod's service account, or a kubeconfig file.

Here: reading either into one record. Tokens and certificates stay in their files, which are read at each use, since
the kubelet replaces them.
Never here: plugins that log in. They run programs of others; a token file does the same.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from rearguard_controller.config import KubernetesSettings
from rearguard_controller.config.http_config import HttpConfig, TlsConfig
from rearguard_controller.config.named_files import UnreadableFileError, read_text
from rearguard_controller.errors import SourceError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MOST_LONG = 1_000_000  # characters of a kubeconfig
_KEY = "kubernetes.kubeconfig"


@dataclass(frozen=True, slots=True)
class Access:
    """The API server's address without a slash at the end, and what a request to it carries."""

    url: str
    http: HttpConfig


def access(settings: KubernetesSettings, private: Path) -> Access:
    """The access that is meant, as its files say now. Reads files.

    Args:
        settings: which cluster.
        private: a folder that only this process reads, for what a kubeconfig holds inline.

    Raises:
        SourceError: there is none, or it cannot be used.
    """
    file = settings.kubeconfig
    return _in_cluster() if file is None else _of_file(file, settings.context, private)


def private_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that only this user may enter, gone when it is cleaned up."""
    return tempfile.TemporaryDirectory(prefix="rearguard-kubeconfig-", ignore_cleanup_errors=True)


def _in_cluster() -> Access:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token, authority = SERVICE_ACCOUNT / "token", SERVICE_ACCOUNT / "ca.crt"
    if not host or not token.exists():
        raise SourceError(
            "The controller does not run in a pod with a service account, and no kubeconfig is named.",
            hint="Set kubernetes.kubeconfig, or automountServiceAccountToken: true in the pod.",
        )
    name = f"[{host}]" if ":" in host else host
    return Access(f"https://{name}:{port}", HttpConfig(secret_file=token, tls=TlsConfig(ca_file=authority)))


def _of_file(file: Path, wanted: str, private: Path) -> Access:
    document = _document(file)
    name = wanted or _text(document.get("current-context"))
    if not name:
        raise _wrong(file, "it has no current-context", "Name one: kubernetes.context.")
    context = _named(file, document, "contexts", "context", name)
    cluster = _named(file, document, "clusters", "cluster", _text(context.get("cluster")))
    user = _named(file, document, "users", "user", _text(context.get("user")))
    if "exec" in user or "auth-provider" in user:
        raise _wrong(
            file,
            f"user {_text(context.get('user'))} logs in by a plugin, which the controller does not run",
            "Give it a token: kubectl create token ACCOUNT, in a file that tokenFile names.",
        )
    server = _text(cluster.get("server")).rstrip("/")
    if not server.startswith(("http://", "https://")):
        raise _wrong(file, "its cluster has no server that begins with https://", "Write clusters[].cluster.server.")
    if cluster.get("insecure-skip-tls-verify") is True:
        raise _wrong(file, "it skips the check of the server's certificate", "Give it certificate-authority instead.")
    tls = TlsConfig(
        ca_file=_kept(file, cluster, "certificate-authority", private),
        cert_file=_kept(file, user, "client-certificate", private),
        key_file=_kept(file, user, "client-key", private),
        server_name=_text(cluster.get("tls-server-name")),
    )
    return Access(server, HttpConfig(secret_file=_token(file, user, private), tls=tls))


def _document(file: Path) -> Mapping[str, object]:
    try:
        document = yaml.safe_load(read_text(file, MOST_LONG))
    except UnreadableFileError as error:
        raise _wrong(file, f"it cannot be read: {error}", f"Make the file of {_KEY} readable.") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise _wrong(file, "it is not YAML", "See: kubectl config view.") from None
    if not isinstance(document, dict):
        raise _wrong(file, "it holds no mapping", "See: kubectl config view.")
    return document


def _named(file: Path, document: Mapping[str, object], many: str, one: str, name: str) -> Mapping[str, object]:
    """The entry of a name in one of the lists of a kubeconfig."""
    entries = document.get(many)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(one), dict):
            found: Mapping[str, object] = entry[one]
            return found
    raise _wrong(file, f"it has no {one} named {name!r}", "See: kubectl config get-contexts.")


def _kept(file: Path, entry: Mapping[str, object], key: str, private: Path) -> Path | None:
    """The file that an entry names under a key, or into which its inline data were written."""
    inline = _text(entry.get(f"{key}-data"))
    if inline:
        try:
            data = base64.b64decode(inline, validate=True)
        except (binascii.Error, ValueError):
            raise _wrong(file, f"{key}-data is not base64", "See: kubectl config view --raw.") from None
        return _written(private / key, data)
    named = _text(entry.get(key))
    return file.parent / named if named else None


def _token(file: Path, user: Mapping[str, object], private: Path) -> Path | None:
    named, inline = _text(user.get("tokenFile")), _text(user.get("token"))
    if named:
        return file.parent / named
    return _written(private / "token", inline.encode()) if inline else None


def _written(path: Path, data: bytes) -> Path:
    """A file with these bytes that only its owner reads; an older one of this name is replaced at once.

    Several questions may be asked side by side, so each writes a file of its own first.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as fresh:
        fresh.write(data)
    Path(fresh.name).replace(path)
    return path


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _wrong(file: Path, why: str, hint: str) -> SourceError:
    return SourceError(f"The kubeconfig {file} cannot be used: {why}.", hint=hint)
