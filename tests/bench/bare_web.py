"""The floor's web: a Django project as ``startproject`` makes one, with a view that inserts a row and sends a task."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import django
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from tests.bench.bare_settings import configure

_TEMPLATE = Path(django.__file__).parent / "conf" / "project_template" / "project_name" / "settings.py-tpl"

configure(
    apps=[f"django.contrib.{name}" for name in ("auth", "contenttypes", "sessions", "messages")],
    middleware=re.findall(r"\"(django[\w.]+Middleware)\"", _TEMPLATE.read_text().replace("'", '"')),
    AUTH_USER_MODEL="auth.User",
    ROOT_URLCONF=__name__,
)

bare = importlib.import_module("tests.bench.bare")
floors = importlib.import_module("tests.bench.floors")


@csrf_exempt
def floor(request: HttpRequest) -> HttpResponse:
    """Insert one row, then send a task that says when it executes."""
    mark = request.body.decode()
    floors.commit_row(mark)
    bare.tell.apply_async((mark,))
    return HttpResponse(status=202)


urlpatterns = [path("floor", floor)]
application = get_asgi_application()
