"""The settings of the processes that are measured: the product's own, with the benchmark's app."""

import importlib

_product = importlib.import_module("handrail.config.settings")
globals().update({name: getattr(_product, name) for name in dir(_product) if name.isupper()})

INSTALLED_APPS = [*_product.INSTALLED_APPS, "tests.bench.apps.BenchConfig"]
