"""Django's settings, made from the environment (12-factor); `environment.py` has the table of variables."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import dj_database_url
from csp.constants import NONCE, NONE, SELF
from django.conf import global_settings

from handrail.config.environment import base_url, home, kept, read

PACKAGE = Path(__file__).resolve().parent.parent
HOME = home()

# --- the web ---------------------------------------------------------------------------------
DEBUG = read("HANDRAIL_DEBUG") == "1"
INSECURE_KEY = "insecure: for tests and checks alone"
SECRET_KEY = read("HANDRAIL_SESSION_KEY") or kept("session-key") or INSECURE_KEY
BASE_URL = base_url()
_base = urlsplit(BASE_URL)
_more_hosts = [host.strip() for host in read("HANDRAIL_ALLOWED_HOSTS").split(",") if host.strip()]
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", _base.hostname or "localhost", *_more_hosts]
CSRF_TRUSTED_ORIGINS = [f"{_base.scheme}://{_base.netloc}"]
TRUSTED_PROXIES = int(read("HANDRAIL_TRUSTED_PROXIES"))
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
_https = _base.scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

INSTALLED_APPS = [
    # Before Django's own, whose commands about accounts it replaces by audited ones.
    "handrail.accounts",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "guardian",
    "axes",
    "csp",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "handrail.audit",
    "handrail.letters",
    "handrail.outbox",
    "handrail.vault",
    "handrail.catalog",
    "handrail.alerts",
    "handrail.incidents",
    "runbooks",
    "integrations.slack",
    "handrail.web",
    "handrail.config.apps.ConfigConfig",
]

MIDDLEWARE = [
    "handrail.config.request_ids.request_ids",
    "handrail.config.refusals.problems_for_programs",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "handrail.config.busy.Busy",
]

ROOT_URLCONF = "handrail.config.urls"
ASGI_APPLICATION = "handrail.config.asgi.application"
WSGI_APPLICATION = "handrail.config.wsgi.application"

# In a checkout the templates stand at the top; in a wheel, inside the package.
_in_checkout = PACKAGE.parent.parent / "templates"
TEMPLATES_FOLDER = _in_checkout if PACKAGE.parent.name == "platform" else PACKAGE / "templates"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [TEMPLATES_FOLDER],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "handrail.web.context.waiting_approvals",
            ]
        },
    }
]
STATIC_URL = "/static/"
STATIC_ROOT = None  # served from the packages themselves, by WhiteNoise
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

# --- the API ---------------------------------------------------------------------------------
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "handrail.accounts.authentication.TokenAuthentication",
        "handrail.accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["handrail.shared.rest.bodies.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "handrail.shared.rest.errors.answer_to",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "URL_FORMAT_OVERRIDE": None,
}
# For one token or person and web process: far above what a person or a script does, far below what hurts.
API_RATE = "1200/min"
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Handrail",
    "DESCRIPTION": "Everything that the web can do. See docs/how-to/use-the-api.md.",
    "VERSION": "v1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "COMPONENT_SPLIT_REQUEST": True,
    "AUTHENTICATION_WHITELIST": [],
    "SECURITY": [{"token": []}, {"session": []}],
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer", "bearerFormat": "hr_..."},
            "session": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
        }
    },
    "DISABLE_ERRORS_AND_WARNINGS": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False, "tryItOutEnabled": False},
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "handrail.config.api_schema.document_refusals",
        "handrail.config.api_schema.document_pages",
    ],
    "ENUM_NAME_OVERRIDES": {
        "IncidentStatus": "handrail.incidents.models.Incident.Status",
        "PostmortemStatus": "handrail.incidents.models.Postmortem.Status",
        "RunState": "runbooks.models.Run.State",
        "ApprovalState": "runbooks.models.Approval.State",
        "AutoResolve": "handrail.incidents.models.Incident.AutoResolve",
        "VersionState": "runbooks.models.RunbookVersion.State",
        "ChecklistChoice": ["done", "skip"],
        "ManualChoice": ["done", "cannot"],
        "DoubtChoice": ["done", "retry", "fail"],
    },
}

# --- the database ----------------------------------------------------------------------------
DATABASE_URL = read("HANDRAIL_DATABASE_URL") or f"sqlite:///{quote(str(HOME / 'handrail.sqlite3'))}"
DATABASES: dict[str, Any] = {"default": dj_database_url.parse(DATABASE_URL)}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # IMMEDIATE: a transaction that will write waits for its turn at its start instead of failing in its middle.
    # FULL: a commit survives a power failure. recursive_triggers: REPLACE cannot slip past append-only triggers.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA recursive_triggers=ON;",
    }
else:
    DATABASES["default"]["ENGINE"] = "handrail.config.postgresql"
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        pool={"min_size": 1, "max_size": int(read("HANDRAIL_DATABASE_POOL")), "timeout": 10},
        # The engine's own statements, which alone are bound by the server, are prepared at the third time.
        prepare_threshold=2,
    )
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- what is too large for a row ----------------------------------------------------------------
ARTIFACT_STORAGE = read("HANDRAIL_ARTIFACT_STORAGE") or str(HOME / "artifacts")
ARTIFACT_S3_ENDPOINT = read("HANDRAIL_ARTIFACT_S3_ENDPOINT")
STORAGES = {
    **global_settings.STORAGES,
    "artifacts": {
        "BACKEND": "integrations.s3.storage.Bucket"
        if ARTIFACT_STORAGE.startswith("s3://")
        else "handrail.shared.folder_storage.Folder"
    },
}

# --- for how many days what is bulky is kept; 0: for ever -----------------------------------------
KEEP_LOGS_DAYS = int(read("HANDRAIL_KEEP_LOGS_DAYS"))
KEEP_ARTIFACTS_DAYS = int(read("HANDRAIL_KEEP_ARTIFACTS_DAYS"))
KEEP_DELIVERIES_DAYS = int(read("HANDRAIL_KEEP_DELIVERIES_DAYS"))

# --- workers ---------------------------------------------------------------------------------
BROKER_URL = read("HANDRAIL_BROKER_URL") or f"filesystem://{quote(str(HOME / 'broker'))}"
QUEUE_PREFIX = read("HANDRAIL_QUEUE_PREFIX")
WORKER_CONCURRENCY = int(read("HANDRAIL_WORKER_CONCURRENCY"))
WORKER_THREADS = int(read("HANDRAIL_WORKER_THREADS"))
SCHEDULE_TO_START_SECONDS = float(read("HANDRAIL_SCHEDULE_TO_START_SECONDS"))
CIRCUIT_FAILURES = int(read("HANDRAIL_CIRCUIT_FAILURES"))
CIRCUIT_WINDOW_SECONDS = float(read("HANDRAIL_CIRCUIT_WINDOW_SECONDS"))
CIRCUIT_PAUSE_SECONDS = float(read("HANDRAIL_CIRCUIT_PAUSE_SECONDS"))
LEASE_SECONDS = float(read("HANDRAIL_LEASE_SECONDS"))
LOOP_GUARD_RUNS = int(read("HANDRAIL_LOOP_GUARD_RUNS"))
POOL_QUEUE_LIMIT = int(read("HANDRAIL_POOL_QUEUE_LIMIT"))
AUTO_RESOLVE_AFTER = float(read("HANDRAIL_AUTO_RESOLVE_AFTER"))
POSTMORTEM_SEVERITY = read("HANDRAIL_POSTMORTEM_SEVERITY")
INCIDENT_BUDGET = int(read("HANDRAIL_INCIDENT_BUDGET"))

# --- people ----------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
ANONYMOUS_USER_NAME = None
SESSION_COOKIE_AGE = 7 * 24 * 3600
# Five wrong passwords for one name from one address, then ten minutes of waiting. `web/sign_in.py` has a
# second, wider limit for an address that tries many names.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=10)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "handrail.accounts.actors.client_address_or_none"
AXES_LOCKOUT_CALLABLE = "handrail.web.sign_in.locked_out"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ACCESS_FAILURE_LOG = False
AXES_VERBOSE = False
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"

# --- what leaves -----------------------------------------------------------------------------
VAULT_KEYS = [key.strip() for key in read("HANDRAIL_VAULT_KEYS").split(",") if key.strip()]
VAULT_FILES = read("HANDRAIL_VAULT_FILES")
VAULT_GRANTS = [grant.strip() for grant in read("HANDRAIL_VAULT_GRANTS").split(",") if grant.strip()]
SLACK_BASE_URL = read("HANDRAIL_SLACK_BASE_URL")
SLACK_BOT_TOKEN = read("HANDRAIL_SLACK_BOT_TOKEN")
SLACK_SIGNING_SECRET = read("HANDRAIL_SLACK_SIGNING_SECRET")
SLACK_CHANNEL = read("HANDRAIL_SLACK_CHANNEL")

# --- the audit trail -------------------------------------------------------------------------
AUDIT_CHECKPOINTS = read("HANDRAIL_AUDIT_CHECKPOINTS")

# --- telemetry -------------------------------------------------------------------------------
LOG_FORMAT = read("HANDRAIL_LOG_FORMAT").lower()
LOG_LEVEL = read("HANDRAIL_LOG_LEVEL").upper()
OTLP_ENDPOINT = read("HANDRAIL_OTLP_ENDPOINT")
LOGGING_CONFIG = None
