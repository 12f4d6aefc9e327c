"""Django's settings; everything an operator may change comes from CHAPEK_* variables (docs/settings.md)."""

from pathlib import Path

from common.vault import new_keyring_text
from config import environment as env
from config.csp import STRICT
from config.desk import ACCENT

BASE_DIR = Path(__file__).resolve().parent.parent.parent
CHAPEK_STATE_DIR = Path(env.text("STATE_DIR", str(BASE_DIR / ".chapek")))
CHAPEK_EMBEDDED = env.flag("EMBEDDED")
CHAPEK_VERSION = "0.1.0"

DEBUG = env.flag("DEBUG")
SECRET_KEY_FILE = Path(env.text("SECRET_KEY_FILE", str(CHAPEK_STATE_DIR / "secret_key")))
SECRET_KEY = env.text("SECRET_KEY") or env.secret_file(SECRET_KEY_FILE)
CHAPEK_KEYRING_FILE = env.text("KEYRING_FILE", str(CHAPEK_STATE_DIR / "keyring.json"))
if not env.text("KEYRING"):
    env.secret_file(Path(CHAPEK_KEYRING_FILE), make=new_keyring_text)
CHAPEK_SIGNING_KEY_FILE = env.text("SIGNING_KEY_FILE", str(CHAPEK_STATE_DIR / "signing_key.pem"))

CHAPEK_PUBLIC_URL = env.text("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
CHAPEK_BOOT_URL = env.text("BOOT_URL", CHAPEK_PUBLIC_URL).rstrip("/")  # how nodes reach us
CHAPEK_BOOT_NETWORKS = env.networks("BOOT_NETWORKS")  # where nodes boot; empty: asked for from anywhere
CHAPEK_BOOT_ARTEFACTS_DIR = env.text("BOOT_ARTEFACTS_DIR", str(CHAPEK_STATE_DIR / "boot"))
CHAPEK_IMAGES_DIR = env.text("IMAGES_DIR", str(CHAPEK_STATE_DIR / "images"))
CHAPEK_MAIL_DIR = env.text("MAIL_DIR", str(CHAPEK_STATE_DIR / "mail"))
_secure = CHAPEK_PUBLIC_URL.startswith("https://")

ALLOWED_HOSTS = env.hosts(CHAPEK_PUBLIC_URL, CHAPEK_BOOT_URL, *env.items("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]"))
CSRF_TRUSTED_ORIGINS = [CHAPEK_PUBLIC_URL]

INSTALLED_APPS = [
    "common",
    "observability",
    "compliance.audit",
    "accounts",
    "inventory",
    "provisioning",
    "billing",
    "reservations",
    "api",
    "portal",
    "config",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "operations",  # replaces what allauth registers in the admin
    "django_htmx",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "csp",
]

MIDDLEWARE = [
    "observability.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.csp.PathCSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.ActorMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "portal.context.chapek",
            ]
        },
    }
]

_database = env.database(env.text("DATABASE_URL", "postgresql://chapek@/chapek?host=" + str(CHAPEK_STATE_DIR)))
_options = _database["OPTIONS"]
assert isinstance(_options, dict)  # noqa: S101 - built three lines above
_options["pool"] = {"min_size": 0, "max_size": env.number("DATABASE_POOL", 24), "timeout": 30, "max_idle": 60}
# Statements that come again are parsed and planned once per connection: 15 % less of the database's processor.
_options["server_side_binding"] = True
_options["prepare_threshold"] = env.number("DATABASE_PREPARE_AFTER", 2) or None
DATABASES = {"default": {**_database, "CONN_HEALTH_CHECKS": False}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CHAPEK_REDIS_URL = env.redis(env.text("REDIS_URL", "redis://127.0.0.1:6379/0"))
CACHES = {"default": {"BACKEND": "common.cache.FailOpenRedisCache", "LOCATION": CHAPEK_REDIS_URL}}
SESSION_ENGINE = "django.contrib.sessions.backends.db"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]

ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_CONFIRM_EMAIL_ON_GET = False
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_SUBJECT_PREFIX = "Chapek: "
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if _secure else "http"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_RATE_LIMITS = {} if env.flag("TEST_NO_RATE_LIMITS") else {"login_failed": "10/m/ip,5/5m/key"}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_ADAPTER = "accounts.mfa.MfaAdapter"
MFA_TOTP_ISSUER = "Chapek"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/home/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/"

EMAIL_BACKEND = env.text("EMAIL_BACKEND", "django.core.mail.backends.filebased.EmailBackend")
EMAIL_FILE_PATH = CHAPEK_MAIL_DIR
EMAIL_HOST = env.text("EMAIL_HOST", "127.0.0.1")
EMAIL_PORT = env.number("EMAIL_PORT", 25)
EMAIL_HOST_USER = env.text("EMAIL_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_PASSWORD")
EMAIL_USE_TLS = env.flag("EMAIL_TLS")
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.text("FROM_EMAIL", "Chapek <no-reply@chapek.invalid>")

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
LOCALE_PATHS = [BASE_DIR / "platform" / "config" / "locale"]
FORMAT_MODULE_PATH = "config.formats"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("STATIC_ROOT", str(CHAPEK_STATE_DIR / "static")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG or env.flag("STATIC_FINDERS")

# Celery only wakes workers: the truth is in PostgreSQL, so a lost message costs seconds.
CELERY_BROKER_URL = CHAPEK_REDIS_URL
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600, "socket_timeout": 5, "socket_connect_timeout": 2}
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "api.authentication.ApiKeyAuthentication",
        "api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["api.permissions.ActsForTenant"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "api.pagination.CursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "api.errors.problem_details",
    "DEFAULT_THROTTLE_CLASSES": ["api.throttling.TenantRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"read": env.text("RATE_READ", "600/min"), "write": env.text("RATE_WRITE", "120/min")},
    "UNAUTHENTICATED_USER": None,
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Chapek",
    "DESCRIPTION": "Reserve whole GPU nodes, reach them by SSH, pay per second, prove what happened.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_PUBLIC": True,
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "api.schema.describe_stream"],
    "ENUM_NAME_OVERRIDES": {
        "TenantState": "accounts.states.TenantState",
        "QuoteState": "reservations.states.QuoteState",
        "ReservationState": "reservations.states.ReservationState",
        "InvoiceState": "billing.states.InvoiceState",
        "UsageState": "billing.states.UsageState",
        "ReservationAction": "api.serializers.reservations.ACTIONS",
    },
}

UNFOLD = {
    "SITE_TITLE": "Chapek operations",
    "SITE_HEADER": "Chapek operations",
    "SITE_URL": "/",
    "SITE_SYMBOL": "memory",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SITE_SUBHEADER": "All times are UTC",
    "DASHBOARD_CALLBACK": "operations.dashboard.context",
    "STYLES": ["config.desk.style"],
    "COLORS": {"primary": ACCENT},
    "ENVIRONMENT": "config.desk.environment",
    "SIDEBAR": {"show_search": True, "command_search": True, "navigation": "config.desk.navigation"},
    "COMMAND": {"search_models": False, "search_callback": "operations.search.find", "show_history": False},
}

# Security headers. The admin's own paths have a policy of their own: docs/adr says why.
CONTENT_SECURITY_POLICY = {"DIRECTIVES": STRICT}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _secure
SECURE_SSL_REDIRECT = _secure
# Asked in plain HTTP from the provisioning network, the host itself or a load balancer: a redirect would be no answer.
SECURE_REDIRECT_EXEMPT = [r"^boot/", r"^images/", r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.flag("TLS_TERMINATED") else None
SECURE_HSTS_SECONDS = 31_536_000 if _secure else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _secure

CHAPEK_STRIPE_KEY = env.text("STRIPE_KEY")
CHAPEK_STRIPE_URL = env.text("STRIPE_URL")  # a local fake in tests
CHAPEK_STRIPE_WEBHOOK_SECRET = env.text("STRIPE_WEBHOOK_SECRET")
CHAPEK_DEMO_CREDIT_EUR = env.number("DEMO_CREDIT_EUR", 50_000 if CHAPEK_EMBEDDED else 0)
CHAPEK_CARD_CREDIT_EUR = env.number("CARD_CREDIT_EUR", 1000)  # a tenant's credit line while a card is on file
CHAPEK_WORKER_METRICS = env.text("WORKER_METRICS")  # host:port where a Celery worker serves its counters
CHAPEK_METRICS_TOKEN = env.text("METRICS_TOKEN")  # lets others than this machine read /metrics
CHAPEK_QUOTE_TTL_S = env.number("QUOTE_TTL_S", 300)
CHAPEK_OPEN_QUOTES = env.number("OPEN_QUOTES", 20)  # of one tenant at a time
CHAPEK_JOB_LEASE_S = env.number("JOB_LEASE_S", 30)
CHAPEK_SSH_TIMEOUT_S = env.number("SSH_TIMEOUT_S", 15)
CHAPEK_BMC_TIMEOUT_S = env.number("BMC_TIMEOUT_S", 15)
CHAPEK_WORKER_QUEUES = env.items("WORKER_QUEUES")
CHAPEK_IPMI_GAP_S = env.number(
    "IPMI_GAP_S", 0 if CHAPEK_EMBEDDED else 5
)  # least pause between two IPMI commands to one BMC
CHAPEK_IPXE_LOADER = env.text("IPXE_LOADER", "ipxe.efi")  # as the two below, a file in that folder
CHAPEK_RESCUE_KERNEL = env.text("RESCUE_KERNEL", "vmlinuz")  # files below CHAPEK_BOOT_ARTEFACTS_DIR
CHAPEK_RESCUE_INITRD = env.text("RESCUE_INITRD", "initrd.img")

LOGGING_CONFIG = None
from observability.logs import configure  # noqa: E402 - logging is set up once the settings above exist

configure(debug=DEBUG, json=env.text("LOG_FORMAT", "json") == "json")
