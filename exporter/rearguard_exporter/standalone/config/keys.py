"""Every key of the configuration file, once: its type, default and meaning.

The reader checks keys by this table, and docs/standalone.md holds it. The controller's table has the same
shape; neither package may import the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass

REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what a user may write, what applies without it, and what it does."""

    name: str
    type: str
    default: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Section:
    """The keys of one kind of mapping, and where in the file it stands."""

    where: str
    keys: tuple[Key, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The keys' names in the order of the documentation."""
        return tuple(key.name for key in self.keys)


TOP = Section(
    "top level",
    (
        Key("service", "text", "`REARGUARD_SERVICE`, `OTEL_SERVICE_NAME`", "The service that is watched."),
        Key("version", "text", "`REARGUARD_VERSION`", "The version that it serves."),
        Key("version_file", "path", "none", "A file that holds the version, instead of `version`; followed."),
        Key("environment", "text", "`REARGUARD_ENVIRONMENT`", "Where it runs."),
        Key("listen", "host:port", "`127.0.0.1:9464`", "Where `/metrics` is served."),
        Key("tls_config_file", "path", "none", "TLS of that port, in the form of Prometheus' exporters."),
        Key("process", "mapping", "none", "The process that is watched."),
        Key("probes", "list of mappings", "none", "HTTP addresses that are asked."),
        Key("databases", "list of mappings", "none", "PostgreSQL databases that are asked."),
    ),
)
PROCESS = Section(
    "process",
    (
        Key("pid", "number", "none", "The process of this number, until it ends."),
        Key("pid_file", "path", "none", "The process whose number this file holds."),
        Key("name", "text", "none", "All processes of this name, as `ps -e` shows it."),
        Key("systemd_unit", "text", "none", "All processes of this unit."),
        Key("cgroup", "path", "none", "All processes of this cgroup and those below, from `/sys/fs/cgroup`."),
        Key("interval", "duration from 1s", "`5s`", "Between two looks."),
    ),
)
PROBE = Section(
    "probes[]",
    (
        Key("name", "name", REQUIRED, "The label `probe`."),
        Key("url", "http or https address", REQUIRED, "What is asked."),
        Key("method", "`GET` or `HEAD`", "`GET`", "How."),
        Key("statuses", "list of numbers", "200 to 299", "Answers that are good."),
        Key("contains", "text", "none", "What the first 64 KiB of a good answer contain."),
        Key("follow_redirects", "true or false", "`true`", "Whether redirects are followed, up to ten."),
        Key("bearer_token_file", "path", "none", "Holds the token that is sent."),
        Key("ca_file", "path", "the system's", "Certificates (PEM) that the server's must lead to."),
        Key("timeout", "duration from 100ms", "`5s`", "For the whole of a probe."),
        Key("interval", "duration from 1s", "`15s`", "Between two probes."),
    ),
)
DATABASE = Section(
    "databases[]",
    (
        Key("name", "name", REQUIRED, "The label `db_client_connection_pool_name`."),
        Key("dsn", "PostgreSQL address", "or `dsn_file`", "`postgresql://user@host:port/database`."),
        Key("dsn_file", "path", "or `dsn`", "Holds that address."),
        Key("password_file", "path", "`PGPASSWORD`, `~/.pgpass`", "Holds the password."),
        Key("timeout", "duration from 100ms", "`5s`", "To connect and to answer `select 1`; then `db_up` is 0."),
        Key("statement_timeout", "duration from 100ms", "`2s`", "For each statement; the server ends it."),
        Key("interval", "duration from 1s", "`15s`", "Least time between two askings, whoever scrapes how often."),
        Key("size_interval", "duration from 1s", "`5m`", "The same for the size, which costs the server more."),
        Key("long_query", "duration", "`30s`", "From when a running statement is long."),
        Key("slow_query", "duration", "`1s`", "From which mean time a kind of statements is slow."),
    ),
)
WEB = Section(
    "the file of tls_config_file",
    (Key("tls_server_config", "mapping", REQUIRED, "The only part of that file that is used."),),
)
TLS_SERVER = Section(
    "tls_server_config",
    (
        Key("cert_file", "path", REQUIRED, "The certificate and those below its root (PEM)."),
        Key("key_file", "path", REQUIRED, "Its private key (PEM), not encrypted."),
        Key(
            "client_auth_type",
            "`NoClientCert`, `VerifyClientCertIfGiven` or `RequireAndVerifyClientCert`",
            "`NoClientCert`",
            "Whether clients show a certificate; one that is shown is always verified.",
        ),
        Key("client_ca_file", "path", "none", "Certificates (PEM) that clients' certificates must lead to."),
        Key("client_allowed_sans", "list of names", "any", "A client's certificate must carry one of them."),
        Key("min_version", "`TLS12` or `TLS13`", "`TLS12`", "Oldest version that is spoken."),
        Key("max_version", "`TLS12` or `TLS13`", "`TLS13`", "Newest version that is spoken."),
        Key("cipher_suites", "list of Go's names", "OpenSSL's", "Suites of TLS 1.2; those of 1.3 are always on."),
        Key("prefer_server_cipher_suites", "true or false", "`true`", "The server's order of suites counts."),
    ),
)
PROCESS_WAYS = ("pid", "pid_file", "name", "systemd_unit", "cgroup")  # of which one stands in `process`
DATABASE_WAYS = ("dsn", "dsn_file")  # and in each of `databases`
SECTIONS = (TOP, PROCESS, PROBE, DATABASE, WEB, TLS_SERVER)


def tables() -> str:
    """The reference part of the documentation: one Markdown table for each section."""
    return "\n".join("\n".join(_lines(section)) + "\n" for section in SECTIONS)


def _lines(section: Section) -> Iterator[str]:
    yield f"### {section.where}"
    yield ""
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for key in section.keys:
        yield f"| `{key.name}` | {key.type} | {key.default} | {key.meaning} |"
