"""Every setting: name, default, purpose. `docs/reference/settings.md` is made from this table."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from handrail.config.forms import (
    ADDRESS,
    BROKER,
    DATABASE,
    GRANTS,
    HTTP,
    LEASE,
    POSITIVE,
    PROCESSES,
    QUEUE,
    SECONDS,
    SEVERITY,
    STORAGE,
    WHOLE,
    Form,
    one_of,
)
from handrail.shared.errors import HandrailError, Invalid


class BadSettingError(HandrailError):
    """A variable of the environment is set to something that cannot be."""

    code = "bad_setting"


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable. ``secret`` ones are never printed."""

    name: str
    default: str
    help: str
    secret: bool = False
    form: Form | None = None

    def problem(self, value: str) -> str | None:
        """What is wrong with a value that somebody set, in words; None when nothing is."""
        if self.form is None or self.form.fits(value):
            return None
        found = "what it is set to" if self.secret else repr(value[:80])
        return f"{self.name}: {found} does not fit; it must be {self.form.words}."


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "HANDRAIL_HOME",
        ".handrail",
        "Folder of everything that this machine keeps: the embedded database "
        "and broker, generated keys, artifacts (without HANDRAIL_ARTIFACT_STORAGE), audit checkpoints.",
    ),
    Setting(
        "HANDRAIL_SESSION_KEY",
        "",
        "Signs sessions. Without it, the key that `handrail up` generated in "
        "HANDRAIL_HOME is used; `handrail check` refuses to go on without either.",
        secret=True,
    ),
    Setting(
        "HANDRAIL_BASE_URL",
        "",
        "The address under which people and Slack reach the web, such as `https://handrail.example.com`; "
        "without it, `http://` and HANDRAIL_BIND.",
        form=HTTP,
    ),
    Setting(
        "HANDRAIL_BIND", "127.0.0.1:8000", "Where `handrail up` and `handrail web` listen.", form=ADDRESS
    ),
    Setting(
        "HANDRAIL_ALLOWED_HOSTS",
        "",
        "More host names that the web answers to, separated by commas. The host of "
        "HANDRAIL_BASE_URL and this machine's loopback names always are.",
    ),
    Setting(
        "HANDRAIL_TRUSTED_PROXIES",
        "0",
        "How many reverse proxies of yours stand in front: that many addresses "
        "at the end of X-Forwarded-For are believed, and X-Forwarded-Proto with them.",
        form=WHOLE,
    ),
    Setting(
        "HANDRAIL_DEBUG",
        "",
        "`1` shows tracebacks in the browser. Never on a machine that others can reach.",
        form=one_of("0", "1"),
    ),
    Setting(
        "HANDRAIL_DATABASE_URL",
        "",
        "`postgres://user:password@host:5432/name`; without it, SQLite in HANDRAIL_HOME.",
        secret=True,
        form=DATABASE,
    ),
    Setting(
        "HANDRAIL_DATABASE_POOL",
        "8",
        "How many PostgreSQL connections one process may hold; "
        "the web serves as many requests at once, and the others take turns.",
        form=POSITIVE,
    ),
    Setting(
        "HANDRAIL_BROKER_URL",
        "",
        "`redis://host:6379/0` or `amqp://user:password@host:5672/vhost`; without it, "
        "a broker made of files in HANDRAIL_HOME.",
        secret=True,
        form=BROKER,
    ),
    Setting(
        "HANDRAIL_QUEUE_PREFIX",
        "handrail",
        "Begins the names of the broker's queues. Two installations that share a broker need two.",
        form=QUEUE,
    ),
    Setting(
        "HANDRAIL_WORKER_CONCURRENCY",
        "2",
        "How many runs one `handrail worker` works on at once, each in a process of its own.",
        form=PROCESSES,
    ),
    Setting(
        "HANDRAIL_WORKER_THREADS",
        "8",
        "How many steps of one run each of these processes executes at once, where the runbook lets them.",
        form=POSITIVE,
    ),
    Setting(
        "HANDRAIL_STOP_GRACE_SECONDS",
        "60",
        "How long a worker that is told to end may take to finish the steps in hand, before it is killed and they are "
        "lost. Whoever stops it (systemd, Kubernetes) must wait for longer.",
        form=POSITIVE,
    ),
    Setting(
        "HANDRAIL_SCHEDULE_TO_START_SECONDS",
        "3600",
        "How long a step of a run that starts from now on may wait for a worker of its pool, unless it says otherwise "
        "(`schedule_to_start_timeout`); then it has timed out. 0: for ever.",
        form=SECONDS,
    ),
    Setting(
        "HANDRAIL_CIRCUIT_FAILURES",
        "5",
        "So many failures that tell about a target (no answer, no connection, a server error) within "
        "HANDRAIL_CIRCUIT_WINDOW_SECONDS open its circuit breaker. 0: no circuit ever opens by itself.",
        form=WHOLE,
    ),
    Setting(
        "HANDRAIL_CIRCUIT_WINDOW_SECONDS",
        "60",
        "Within how long failures of a target count together.",
        form=SECONDS,
    ),
    Setting(
        "HANDRAIL_CIRCUIT_PAUSE_SECONDS",
        "30",
        "How long a circuit that has opened lets nothing through before one step may see; twice as long after each "
        "failure of such a step, at most a quarter of an hour.",
        form=SECONDS,
    ),
    Setting(
        "HANDRAIL_LOOP_GUARD_RUNS",
        "10",
        "How many runs of one runbook with the same key alerts, incidents and other runs may start within an hour; "
        "beyond that nothing starts it but a person, and people are told. A runbook's own `rate_limit` takes its "
        "place. 0: no guard.",
        form=WHOLE,
    ),
    Setting(
        "HANDRAIL_POOL_QUEUE_LIMIT",
        "200",
        "With more ready steps than this in a pool, runs that a schedule starts wait; containment never does. "
        "0: they never wait.",
        form=WHOLE,
    ),
    Setting(
        "HANDRAIL_LEASE_SECONDS",
        "30",
        "How long a worker may be silent before its step is taken from it.",
        form=LEASE,
    ),
    Setting(
        "HANDRAIL_AUTO_RESOLVE_AFTER",
        "300",
        "Seconds for which all alerts of an incident must have been resolved before it resolves by itself.",
        form=SECONDS,
    ),
    Setting(
        "HANDRAIL_INCIDENT_BUDGET",
        "20",
        "New incidents by alerts in a project within ten minutes; further ones gather under one storm incident.",
        form=WHOLE,
    ),
    Setting(
        "HANDRAIL_POSTMORTEM_SEVERITY",
        "SEV4",
        "Incidents of this severity and worse get a postmortem draft by themselves when they are resolved.",
        form=SEVERITY,
    ),
    Setting(
        "HANDRAIL_VAULT_KEYS",
        "",
        "Fernet keys of the local vault, newest first, separated by commas; without "
        "it, a key is generated in HANDRAIL_HOME.",
        secret=True,
    ),
    Setting("HANDRAIL_VAULT_FILES", "", "Folder below which `file:` secret references are read."),
    Setting(
        "HANDRAIL_VAULT_GRANTS",
        "",
        "Which project may read which `env:` and `file:` secret, separated by commas, a `*` at the end standing for "
        "any rest: `payments=env:HANDRAIL_SECRET_DNS_*,payments=file:payments/*`. Empty: no project reads any. The "
        "web and all workers need the same.",
        form=GRANTS,
    ),
    Setting(
        "HANDRAIL_SLACK_BOT_TOKEN",
        "",
        "The Slack app's bot token (`xoxb-...`). Empty: no Slack.",
        secret=True,
    ),
    Setting(
        "HANDRAIL_SLACK_SIGNING_SECRET",
        "",
        "Verifies what Slack sends. Required with a bot token.",
        secret=True,
    ),
    Setting(
        "HANDRAIL_SLACK_BASE_URL",
        "https://slack.com/api/",
        "Slack's API; the fake Slack's address in a demo.",
        form=HTTP,
    ),
    Setting(
        "HANDRAIL_SLACK_CHANNEL", "#incidents", "The channel of incidents and of approvals that name none."
    ),
    Setting(
        "HANDRAIL_ARTIFACT_STORAGE",
        "",
        "Where values over 16 KB and long logs are kept: the absolute path of a folder, or `s3://bucket/prefix` (needs "
        "`pip install 'handrail[s3]'`; keys and region come from the AWS_ variables, a profile or the machine's role). "
        "Web, workers and sweepers need the same. Without it, `artifacts` in HANDRAIL_HOME.",
        form=STORAGE,
    ),
    Setting(
        "HANDRAIL_ARTIFACT_S3_ENDPOINT",
        "",
        "The address of an S3-compatible service that is not AWS, such as `https://minio.example.com`.",
        form=HTTP,
    ),
    Setting(
        "HANDRAIL_KEEP_LOGS_DAYS",
        "90",
        "For how many days after the end of a run its log is kept: lines and files. Never while its incident is not "
        "closed or the postmortem not published. 0: for ever.",
        form=WHOLE,
    ),
    Setting(
        "HANDRAIL_KEEP_ARTIFACTS_DAYS",
        "365",
        "For how many days after the end of a run its values over 16 KB are kept, with the same exceptions. A run "
        "without them cannot be resumed. 0: for ever.",
        form=WHOLE,
    ),
    Setting(
        "HANDRAIL_KEEP_DELIVERIES_DAYS",
        "90",
        "For how many days the body of a delivery is kept after it was last received, with the same exceptions for "
        "the incidents of its alerts. 0: for ever.",
        form=WHOLE,
    ),
    Setting(
        "HANDRAIL_AUDIT_CHECKPOINTS",
        "",
        "File to which signed checkpoints of the audit trail are appended; best on a disk that the database's "
        "administrators cannot write to. Without it, `audit/checkpoints.jsonl` in HANDRAIL_HOME.",
    ),
    Setting(
        "HANDRAIL_LOG_FORMAT",
        "console",
        "`console` for people, `json` for machines.",
        form=one_of("console", "json"),
    ),
    Setting(
        "HANDRAIL_LOG_LEVEL",
        "info",
        "`debug`, `info`, `warning` or `error`.",
        form=one_of("debug", "info", "warning", "error"),
    ),
    Setting(
        "HANDRAIL_OTLP_ENDPOINT",
        "",
        "Where traces go (OTLP over HTTP), such as `http://collector:4318`. Empty: nowhere.",
        form=HTTP,
    ),
    Setting(
        "HANDRAIL_DEMO_BIND",
        "",
        "Where `handrail up` serves the fake Slack and the sample production; "
        "without it, the port after HANDRAIL_BIND's.",
        form=ADDRESS,
    ),
)

_TABLE = {setting.name: setting for setting in SETTINGS}


def read(name: str) -> str:
    """The setting, or its default where the environment has nothing. BadSettingError when it cannot be."""
    setting = _TABLE[name]
    value = os.environ.get(name, "").strip()
    if not value:
        return setting.default
    wrong = setting.problem(value)
    if wrong:
        raise BadSettingError(wrong)
    return value


def problems() -> list[str]:
    """Everything that is wrong with this environment's variables, in words."""
    found = [
        setting.problem(os.environ.get(setting.name, "").strip())
        for setting in SETTINGS
        if os.environ.get(setting.name, "").strip()
    ]
    return [words for words in found if words]


def split_bind(bind: str, *, name: str = "HANDRAIL_BIND") -> tuple[str, int]:
    """``host:port`` as a pair; Invalid with a hint that names the setting otherwise."""
    host, _, port = bind.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= 65_535:
        raise Invalid(f"{name} is {bind!r}: write host:port, such as 127.0.0.1:8000")
    return host.strip("[]"), int(port)


def base_url() -> str:
    """HANDRAIL_BASE_URL without a slash at its end; without it, where HANDRAIL_BIND can be reached on this machine."""
    return read("HANDRAIL_BASE_URL").rstrip("/") or http_url(*split_bind(read("HANDRAIL_BIND")))


def running_url() -> str:
    """The address of the `handrail up` of HANDRAIL_HOME: HANDRAIL_BASE_URL, or what its last start left there."""
    left = "" if read("HANDRAIL_BASE_URL") else kept("address")
    return left or base_url()


def http_url(host: str, port: int) -> str:
    """The address of a listener on this machine: one that listens everywhere is reached on the loopback."""
    address = _address(host)
    if address is not None and address.is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on ``host``."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The host as an address; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def home() -> Path:
    """HANDRAIL_HOME, absolute."""
    return Path(read("HANDRAIL_HOME")).expanduser().resolve()


def kept(name: str) -> str:
    """The text of a file that was left in HANDRAIL_HOME; "" without it. BadSettingError when it cannot be read."""
    file = home() / name
    try:
        return file.read_text().strip() if file.is_file() else ""
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadSettingError(
            f"{file} cannot be read ({why}): run Handrail as the user that this folder belongs to."
        ) from error


def make_home() -> Path:
    """HANDRAIL_HOME, created for its owner alone where it is not there yet."""
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Invalid(
            f"The folder {folder} cannot be made ({error.strerror}): set HANDRAIL_HOME to one that this user may make."
        ) from error
    return folder


def unknown_settings() -> list[str]:
    """The HANDRAIL_ variables of this environment that no setting bears: most likely misspelt."""
    # URL and TOKEN are for the commands that speak with an installation elsewhere.
    allowed = ("HANDRAIL_SECRET_", "HANDRAIL_TEST_", "HANDRAIL_URL", "HANDRAIL_TOKEN")
    return sorted(
        name
        for name in os.environ
        if name.startswith("HANDRAIL_") and name not in _TABLE and not name.startswith(allowed)
    )


def settings_markdown() -> str:
    """The reference page of all settings."""
    lines = [
        "# Settings",
        "",
        "Handrail is configured by environment variables alone.",
        "`handrail check` says which are wrong, and how to mend them.",
        "",
        "| variable | default | what it is for |",
        "|---|---|---|",
    ]
    for setting in SETTINGS:
        default = f"`{setting.default}`" if setting.default else "(empty)"
        note = " Secret." if setting.secret else ""
        lines.append(f"| `{setting.name}` | {default} | {setting.help}{note} |")
    return "\n".join(lines) + "\n"
