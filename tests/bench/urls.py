"""The product's addresses, and the floor beside them: a view with one insert, and one Celery task."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from handrail.config.urls import urlpatterns as product
from tests.bench import bare, floors


@csrf_exempt
def floor(request: HttpRequest) -> HttpResponse:
    """Insert one row, then send a task that says when it executes."""
    mark = request.body.decode()
    floors.commit_row(mark)
    bare.tell.apply_async((mark,))
    return HttpResponse(status=202)


urlpatterns = [*product, path("bench/floor", floor)]
