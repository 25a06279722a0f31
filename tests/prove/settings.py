"""The product's settings for the proof: a short lease, no broker but a given one, the ledger's actions."""

import importlib
import os

os.environ.setdefault("HANDRAIL_LEASE_SECONDS", "2")
_product = importlib.import_module("handrail.config.settings")
globals().update({name: getattr(_product, name) for name in dir(_product) if name.isupper()})

INSTALLED_APPS = [*_product.INSTALLED_APPS, "tests.prove.apps.ProveConfig"]
BROKER_URL = os.environ.get("PROVE_BROKER_URL", "memory://")
DATABASES = {**_product.DATABASES}
# A process lives for a moment: one connection each, without the threads of a pool.
DATABASES["default"].get("OPTIONS", {}).pop("pool", None)
