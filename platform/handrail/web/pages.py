"""The edge of every page: who asks, which methods, and how a refusal is told to a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from handrail.accounts.actors import actor_of_request
from handrail.accounts.permissions import remembered
from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError

Arguments = ParamSpec("Arguments")
Page = Callable[Concatenate[HttpRequest, Actor, Arguments], HttpResponseBase]
View = Callable[Concatenate[HttpRequest, Arguments], HttpResponseBase]

_HEADLINES = {
    403: "You may not do this",
    404: "There is nothing here for you",
    409: "Things have moved on",
    410: "This is not kept any more",
    422: "This does not fit",
    429: "Too many requests",
}


def page(*methods: str) -> Callable[[Page[Arguments]], View[Arguments]]:
    """A view for signed-in people that is given the actor; what it refuses becomes a page with the right status.

    Whoever is not signed in is sent to the sign-in page, and back afterwards.
    """

    def decorate(view: Page[Arguments]) -> View[Arguments]:
        def edge(
            request: HttpRequest, /, *args: Arguments.args, **kwargs: Arguments.kwargs
        ) -> HttpResponseBase:
            if request.method not in methods and not (request.method == "HEAD" and "GET" in methods):
                return method_not_allowed(request, methods)
            if isinstance(request.user, AnonymousUser):
                # A form cannot be posted again after the detour: the way back leads to a page.
                return redirect_to_login(
                    request.get_full_path() if request.method in ("GET", "HEAD") else "/"
                )
            try:
                actor = actor_of_request(request)
                if request.method in ("GET", "HEAD"):
                    with remembered():
                        return view(request, actor, *args, **kwargs)
                return view(request, actor, *args, **kwargs)
            except HandrailError as error:
                return refused(request, error)

        update_wrapper(edge, view)
        return edge

    return decorate


def refused(request: HttpRequest, error: HandrailError) -> HttpResponse:
    """The page that says what was refused, for what no page of its own can say in place."""
    context = {"error": error, "headline": _HEADLINES.get(error.status, "This is not possible")}
    return render(request, "web/refused.html", context, status=error.status)


def method_not_allowed(request: HttpRequest, methods: Sequence[str]) -> HttpResponse:
    """Where a form goes, a person has come by hand: after a refused form its address stands in the browser."""
    answer = render(request, "web/not_allowed.html", status=405)
    answer["Allow"] = ", ".join(methods)
    return answer


def shown(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, refusal: HandrailError | None = None
) -> HttpResponse:
    """A page; with ``refusal`` the page that a form came from, which tells it in place, with its status."""
    status = refusal.status if refusal is not None else 200
    return render(request, template, {**context, "refusal": refusal}, status=status)


def after(request: HttpRequest, address: str) -> HttpResponseRedirect:
    """Where to go after a form: the form's own ``next`` if it is a page of ours, else ``address``."""
    wanted = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(wanted, allowed_hosts=None):
        wanted = address
    # 303: whatever the method was, the next page is fetched with GET.
    return HttpResponseRedirect(wanted, status=303)
