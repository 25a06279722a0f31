"""The settings of the tests: the product's own, in a folder and on a database that die with the tests.

``HANDRAIL_TEST_DATABASE_URL=postgres://...`` runs the same tests on PostgreSQL.
"""

import importlib
import os
import tempfile
from pathlib import Path

# Before the product's settings are read, and for every process that a test starts.
_folder = tempfile.TemporaryDirectory(prefix="handrail-tests-")
(Path(_folder.name) / "static").mkdir()
os.environ["HANDRAIL_HOME"] = _folder.name
os.environ["HANDRAIL_DATABASE_URL"] = os.environ.get("HANDRAIL_TEST_DATABASE_URL", "")
os.environ["HANDRAIL_BROKER_URL"] = ""

_product = importlib.import_module("handrail.config.settings")
globals().update({name: getattr(_product, name) for name in dir(_product) if name.isupper()})

ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
# Argon2 takes its time on purpose; a test of its own asks that the product uses it.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
