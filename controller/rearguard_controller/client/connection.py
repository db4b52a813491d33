"""Sends one request to the controller and reads its answer.

Here: time limits, the token, TLS, and errors as one sentence with a hint. What is asked stands in `client`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import requests
from requests.auth import AuthBase

from rearguard_controller.config import is_loopback
from rearguard_controller.errors import RearguardError
from rearguard_controller.wording import address

DEFAULT_URL = "http://127.0.0.1:9465"
CONNECT_WITHIN = 5.0  # seconds
PATIENCE = 30.0  # seconds between two bytes of the answer
_SHOWN = 200  # characters of an answer that is not Rearguard's

Json = dict[str, object]


class RemoteError(RearguardError):
    """The controller could not be reached, or refused; `status` is its HTTP status, None without an answer."""

    def __init__(self, message: str, *, hint: str = "", field: str | None = None, status: int | None = None) -> None:
        super().__init__(message, hint=hint, field=field)
        self.status = status


class UnknownResultError(RemoteError):
    """The request was sent and no answer came: the controller may or may not have carried it out."""


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Files (PEM) for HTTPS: the authorities we trust (`ca_file`), and our own certificate and key."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class _Bearer(AuthBase):
    """Sends the token, and keeps a .netrc file from sending something else."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Connection:
    """Sends requests to one controller."""

    def __init__(
        self,
        url: str,
        token: str | None,
        tls: ClientTls | None = None,
        *,
        context: str = "",
        patience: float = PATIENCE,
    ) -> None:
        """Use the controller at `url`.

        `context` is the name under which it was found, for what errors say; `patience` how long a request waits for
        an answer (seconds), unless it says more.

        Raises:
            RearguardError: `url` is not an HTTP address.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RearguardError(
                f"{address(url)!r} is not an HTTP address.", hint=f"For example {DEFAULT_URL}.", field="url"
            )
        self._patience = patience
        self._url, self._shown = url.rstrip("/"), address(url).rstrip("/")
        self._session = requests.Session()
        self._session.auth = _Bearer(token)
        self._session.trust_env = not is_loopback(parts.hostname)  # no proxy stands between this machine and itself
        self._where, self._log_in = (
            _URL_HINT,
            "Set REARGUARD_TOKEN_FILE to a file that holds a token of this controller.",
        )
        if context:
            self._where = f"Is it running (rearguard serve), and is the address of context {context} still right?"
            self._log_in = f"Log in again: rearguard login {self._shown} --context {context}"
        self._trust: str | bool = True
        if tls is not None:
            self._trust = tls.ca_file or True
            self._session.cert = (tls.cert_file, tls.key_file or tls.cert_file) if tls.cert_file else None

    def address(self, path: str) -> str:
        """The address of a page of this controller, without a password in it."""
        return self._shown + path

    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """The lines of an answer that does not end, as they come.

        Raises:
            RemoteError: no answer, a refusal, or nothing came for `PATIENCE`.
        """
        try:
            with self._session.get(
                self._url + path,
                timeout=(CONNECT_WITHIN, PATIENCE),
                allow_redirects=False,
                verify=self._trust,
                stream=True,
                headers=headers,
            ) as response:
                if response.status_code != requests.codes.ok:
                    self._read(response)
                yield from response.iter_lines(chunk_size=None)
        except requests.RequestException as error:
            raise self._away(error) from None

    def get(self, path: str, parameters: Mapping[str, object] | None = None) -> Json:
        """Send a GET request; parameters that are None are left out.

        Raises:
            RemoteError: no answer, or a refusal.
        """
        given = {name: str(value) for name, value in (parameters or {}).items() if value is not None}
        return self._ask("GET", path, parameters=given)

    def post(
        self, path: str, body: Mapping[str, object], *, once: bool = False, patience: float | None = None
    ) -> Json:
        """Send a POST request.

        Args:
            path: below the controller's address.
            body: the fields of the JSON body; those that are None are left out.
            once: send an idempotency key, and try a second time if the answer gets lost; the controller acts once.
            patience: seconds to wait for the answer, if not as long as usual.

        Raises:
            UnknownResultError: the request was sent, and no answer came.
            RemoteError: the request was not sent, or the controller refused.
        """
        fields = {name: value for name, value in body.items() if value is not None}
        if not once:
            return self._ask("POST", path, body=fields, patience=patience)
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        try:
            return self._ask("POST", path, body=fields, headers=headers, patience=patience)
        except UnknownResultError:
            return self._ask("POST", path, body=fields, headers=headers, patience=patience)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        patience: float | None = None,
    ) -> Json:
        patience = self._patience if patience is None else patience
        try:
            response = self._session.request(
                method,
                self._url + path,
                params=parameters,
                json=body,
                headers=headers,
                timeout=(min(CONNECT_WITHIN, patience), patience),
                allow_redirects=False,
                verify=self._trust,
            )
        except (requests.ConnectTimeout, requests.exceptions.SSLError) as error:
            raise self._away(error) from None
        except requests.ReadTimeout:
            raise self._unknown() from None
        except requests.ConnectionError as error:
            raise (self._unknown() if "aborted" in str(error) else self._away(error)) from None
        except requests.RequestException as error:
            raise RemoteError(f"{self._shown} cannot be asked: {type(error).__name__}.", hint=self._where) from None
        return self._read(response)

    def _read(self, response: requests.Response) -> Json:
        try:
            answer: object = response.json()
        except (requests.JSONDecodeError, RecursionError):  # nested too deeply for anything of ours
            answer = None
        if response.status_code in (requests.codes.ok, requests.codes.accepted) and isinstance(answer, dict):
            return answer
        error = answer.get("error") if isinstance(answer, dict) else None
        if not isinstance(error, dict):
            shown = response.text[:_SHOWN].strip()
            raise RemoteError(
                f"{self._shown} answered {response.status_code} {shown!r}, which is not Rearguard's.",
                hint=self._where,
                status=response.status_code,
            )
        hint = str(error.get("hint") or "")
        if response.status_code == requests.codes.unauthorized:
            hint = self._log_in
        field = error.get("field")
        raise RemoteError(
            str(error.get("message")),
            hint=hint,
            field=None if field is None else str(field),
            status=response.status_code,
        )

    def _away(self, error: Exception) -> RemoteError:
        why = _tls_words(error) if isinstance(error, requests.exceptions.SSLError) else ""
        return RemoteError(f"No controller answers at {self._shown}{why}.", hint=self._where)

    def _unknown(self) -> UnknownResultError:
        return UnknownResultError(
            f"{self._shown} took the request and did not answer.", hint="See what became of it: rearguard status"
        )


def _tls_words(error: Exception) -> str:
    return (
        " (its certificate is not trusted: REARGUARD_CA_FILE names what it must lead to)"
        if ("CERTIFICATE_VERIFY_FAILED" in str(error))
        else " (TLS failed)"
    )


_URL_HINT = "Is it running (rearguard serve), and is REARGUARD_URL its address?"


def segment(text: str) -> str:
    """Quote text as one segment of a path."""
    return quote(text, safe="")
