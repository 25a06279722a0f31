"""The ASGI entry point."""

from __future__ import annotations

import os

import django

from handrail.config.body_limits import LimitBodies
from handrail.config.environment import read
from handrail.config.handler import Handler
from handrail.config.turns import TakeTurns

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "handrail.config.settings")
django.setup(set_prefix=False)

# Within the limit: a body that is too large never gets a turn.
application = TakeTurns(LimitBodies(Handler()), at_once=int(read("HANDRAIL_DATABASE_POOL")))
