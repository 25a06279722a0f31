"""The process that measures at one place: sets Django up in the environment that it was given, then measures."""

from __future__ import annotations

import signal
import sys

import django

if __name__ == "__main__":
    # Asked to end, it ends the processes that it has started.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    django.setup()
    from tests.bench.measure import main

    sys.exit(main())
