"""What a process loads before it says that it is ready."""

from __future__ import annotations

import os
import subprocess
import sys

_LOADS_NOTHING_MORE = """
import sys
from handrail.cli import set_up_django
from handrail.cli.preloading import preload
set_up_django()
preload(pages=True)
before = set(sys.modules)
from runbooks.language.expressions import condition, render
from runbooks.versions import check
check("apiVersion: handrail/v1")
assert condition('inputs.x > 1', {"inputs": {"x": 2}})
from django.urls import resolve
resolve("/hooks/v1/alertmanager/key")
from handrail.shared.wakeups import send
assert send("nobody.does.it")
print(sorted(set(sys.modules) - before))
"""


def test_after_preloading_a_first_request_imports_nothing(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOADS_NOTHING_MORE],
        env={
            **os.environ,
            "HANDRAIL_HOME": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "handrail.config.settings",
            "HANDRAIL_SESSION_KEY": "a key that signs nothing",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
