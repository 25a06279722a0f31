"""Coming and going: the sign-in page with its limits, signing out, and one-time links."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.views import redirect_to_login
from django.db.models import Max, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from handrail.accounts import actions, links
from handrail.accounts.actors import (
    actor_of_request,
    actor_of_user,
    client_address,
    client_address_or_none,
    request_id,
)
from handrail.accounts.models import OneTimeLink, User
from handrail.shared.actors import Channel
from handrail.shared.clock import now
from handrail.shared.errors import HandrailError, NotFound

BACKEND = "django.contrib.auth.backends.ModelBackend"
FAILURES_OF_ADDRESS = 100
"""How many wrong passwords one address may send in ``AXES_COOLOFF_TIME``, over all names."""


class SignInForm(forms.Form):
    """A name and a password, of bounded length."""

    username = forms.CharField(max_length=150, strip=True)
    password = forms.CharField(max_length=1024, strip=False, widget=forms.PasswordInput)


class FirstPasswordForm(forms.Form):
    """What a sign-in link asks for; the name only of whoever has never had a password."""

    username = forms.CharField(
        label="User name",
        max_length=100,
        widget=forms.TextInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    name = forms.CharField(
        label="Your name",
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    password = forms.CharField(
        max_length=1024,
        strip=False,
        help_text="At least 12 characters; a few random words are good.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    again = forms.CharField(
        label="The same again",
        max_length=1024,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, has_password: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if has_password:
            del self.fields["username"], self.fields["name"]

    def clean(self) -> dict[str, Any]:
        """Both passwords must be the same."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("password") and cleaned.get("again") and cleaned["password"] != cleaned["again"]:
            self.add_error("again", "The two passwords differ.")
        return cleaned


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """The sign-in page. Afterwards one is where one wanted to go, if that is on this host."""
    target = safe_next(request)
    if request.user.is_authenticated:
        return redirect(target)
    if request.method != "POST":
        return _page(request, SignInForm())
    form = SignInForm(request.POST)
    if not form.is_valid():
        return _page(request, form, "Type your user name and your password.", status=422)
    username, password = form.cleaned_data["username"], form.cleaned_data["password"]
    if _is_locked(request, username):
        return locked_out(request, None, {"username": username})
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        actions.sign_in_refused(
            username,
            address=client_address(request),
            request_id=request_id(request),
            reason="user name and password do not fit",
        )
        # When this was one failure too many, axes' middleware answers with `locked_out` instead.
        return _page(request, form, "This user name and password do not fit together.", status=401)
    _begin_session(request, user, how="password")
    return redirect(target)


def locked_out(
    request: HttpRequest, original_response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    """What axes answers, and we: too many wrong passwords, and when to try again."""
    username = (credentials or {}).get("username", "")
    seconds = max(1, int((_locked_until(request, username) - now()).total_seconds()) + 1)
    minutes = -(-seconds // 60)
    wait = "one minute" if minutes == 1 else f"{minutes} minutes"
    response = _page(
        request,
        SignInForm(initial={"username": username}),
        f"Too many wrong passwords. Try again in {wait}.",
        status=429,
    )
    response["Retry-After"] = str(seconds)
    return response


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    if isinstance(request.user, User):
        actions.signed_out(request.user, actor=actor_of_request(request))
        logout(request)
    return redirect(settings.LOGIN_URL)


@never_cache
@sensitive_post_parameters("password", "again")
@require_http_methods(["GET", "HEAD", "POST"])
def one_time_link(request: HttpRequest, token: str) -> HttpResponseBase:
    """A one-time link. Looking at it does not use it up: previews of chat programs look at links too."""
    try:
        link = links.find(token)
    except NotFound as error:
        return render(request, "web/link_gone.html", {"why": error.message}, status=404)
    if link.purpose == OneTimeLink.Purpose.LINK_IDENTITY:
        return _link_identity(request, token, link)
    return _first_password(request, token, link)


def _first_password(request: HttpRequest, token: str, link: OneTimeLink) -> HttpResponse:
    user = link.user
    if user is None:
        raise TypeError("a sign-in link is of a person")
    has_password = user.has_usable_password()
    error = ""
    status = 200
    initial = {"username": user.username, "name": user.name}
    form = FirstPasswordForm(request.POST or None, initial=initial, has_password=has_password)
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                user = actions.redeem_sign_in_link(
                    token,
                    username=form.cleaned_data.get("username", user.username),
                    name=form.cleaned_data.get("name", user.name),
                    password=form.cleaned_data["password"],
                    actor=actor_of_user(user, Channel.WEB, request=request),
                )
            except HandrailError as refusal:
                error, status = refusal.message, refusal.status
            else:
                _begin_session(request, user, how="link")
                return redirect(settings.LOGIN_REDIRECT_URL)
    context = {"form": form, "account": user, "has_password": has_password, "error": error}
    return render(request, "web/first_password.html", context, status=status)


def _link_identity(request: HttpRequest, token: str, link: OneTimeLink) -> HttpResponse:
    if not request.user.is_authenticated:
        return redirect_to_login(request.path)
    error, status = "", 200
    if request.method == "POST":
        try:
            identity = actions.link_identity(token, actor=actor_of_request(request))
        except HandrailError as refusal:
            error, status = refusal.message, refusal.status
        else:
            shown = identity.external_name or identity.external_id
            messages.success(request, f"{identity.provider.title()} account {shown} is linked to yours.")
            return redirect("account")
    context = {
        "provider": str(link.data["provider"]).title(),
        "identity": link.data,
        "expires_at": link.expires_at,
        "error": error,
    }
    return render(request, "web/link_identity.html", context, status=status)


def safe_next(request: HttpRequest) -> str:
    """Where ``next`` leads, if that is a path of this very host; else the front page."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None, require_https=request.is_secure())
    # A word without a slash would be taken for the name of a view.
    if ours and wanted.startswith("/"):
        return wanted
    return resolve_url(settings.LOGIN_REDIRECT_URL)


def _page(request: HttpRequest, form: SignInForm, error: str = "", *, status: int = 200) -> HttpResponse:
    target = safe_next(request)
    shown = "" if target == resolve_url(settings.LOGIN_REDIRECT_URL) else target
    return render(request, "web/sign_in.html", {"form": form, "error": error, "next": shown}, status=status)


def _begin_session(request: HttpRequest, user: User, *, how: str) -> None:
    """A new session id for the signed-in person, and a line in the trail."""
    login(request, user, backend=BACKEND)
    actions.signed_in(user, actor=actor_of_user(user, Channel.WEB, request=request), how=how)


def _is_locked(request: HttpRequest, username: str) -> bool:
    if not AxesProxyHandler.is_allowed(request, {"username": username}):
        return True
    recent = AccessAttempt.objects.filter(
        ip_address=client_address_or_none(request), attempt_time__gte=now() - _cool_off()
    )
    failures = recent.aggregate(total=Sum("failures_since_start"))["total"] or 0
    return failures >= FAILURES_OF_ADDRESS


def _locked_until(request: HttpRequest, username: str) -> datetime:
    """When the last failure that counts has cooled off."""
    of_address = AccessAttempt.objects.filter(ip_address=client_address_or_none(request))
    own = of_address.filter(username=username).aggregate(last=Max("attempt_time"))["last"]
    last: datetime = own or of_address.aggregate(last=Max("attempt_time"))["last"] or now()
    return last + _cool_off()


def _cool_off() -> timedelta:
    cool_off: timedelta = settings.AXES_COOLOFF_TIME
    return cool_off
