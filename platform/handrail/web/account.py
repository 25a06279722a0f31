"""One's own account: password, API tokens, linked chat accounts."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from handrail.accounts import actions, queries
from handrail.accounts.actors import actor_of_request
from handrail.accounts.models import User
from handrail.accounts.roles import WORDS, Permission
from handrail.shared.clock import now
from handrail.shared.errors import HandrailError
from handrail.web.cursors import by_birth

LIVES = ((1, "one day"), (7, "a week"), (30, "30 days"), (90, "90 days"), (366, "a year"))


class TokenForm(forms.Form):
    """A new token: what for, what it may do, for how long."""

    name = forms.CharField(label="What for", max_length=100)
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=[(permission.value, WORDS[permission]) for permission in Permission],
        initial=[Permission.VIEW.value],
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.TypedChoiceField(label="For", choices=LIVES, coerce=int, initial=90)


class PasswordForm(forms.Form):
    """A new password, after the current one."""

    current = forms.CharField(
        label="Current password",
        max_length=1024,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    new = forms.CharField(
        label="New password",
        max_length=1024,
        strip=False,
        help_text="At least 12 characters; a few random words are good. Your other sessions end.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


@login_required
@never_cache
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """The page."""
    return _page(request)


@login_required
@never_cache
@require_POST
def create_token(request: HttpRequest) -> HttpResponse:
    """Make a token and show it, this one time: the answer is the page itself, not a redirect."""
    form = TokenForm(request.POST)
    if not form.is_valid():
        return _page(request, status=422, token_form=form)
    try:
        made = actions.create_token(
            _person(request),
            form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            lasts=timedelta(days=form.cleaned_data["days"]),
            actor=actor_of_request(request),
        )
    except HandrailError as refusal:
        form.add_error(None, refusal.message)
        return _page(request, status=refusal.status, token_form=form)
    return _page(request, status=201, new_token=made)


@login_required
@require_POST
def revoke_token(request: HttpRequest, token_id: uuid.UUID) -> HttpResponse:
    """End one of one's own tokens."""
    token = queries.tokens_of(_person(request)).filter(pk=token_id).first()
    if token is None:
        raise Http404("There is no such token.")
    try:
        actions.revoke_token(token, actor=actor_of_request(request))
    except HandrailError as refusal:
        messages.error(request, refusal.message)
    else:
        messages.success(request, f"Token {token.name} is revoked.")
    return redirect("account")


@login_required
@sensitive_post_parameters("current", "new")
@require_POST
def change_password(request: HttpRequest) -> HttpResponse:
    """Set a new password; this session stays, others end."""
    form = PasswordForm(request.POST)
    if not form.is_valid():
        return _page(request, status=422, password_form=form)
    try:
        user = actions.change_password(
            _person(request),
            current=form.cleaned_data["current"],
            new=form.cleaned_data["new"],
            actor=actor_of_request(request),
        )
    except HandrailError as refusal:
        form.add_error("current" if "current" in refusal.message else "new", refusal.message)
        return _page(request, status=refusal.status, password_form=form)
    update_session_auth_hash(request, user)
    messages.success(request, "Your password is changed. Your other sessions have ended.")
    return redirect("account")


@login_required
@require_POST
def unlink(request: HttpRequest, identity_id: uuid.UUID) -> HttpResponse:
    """Forget one of one's own chat accounts."""
    identity = queries.identities_of(_person(request)).filter(pk=identity_id).first()
    if identity is None:
        raise Http404("There is no such linked account.")
    actions.unlink_identity(identity, actor=actor_of_request(request))
    messages.success(request, "The chat account is no longer linked.")
    return redirect("account")


def _page(request: HttpRequest, *, status: int = 200, **context: Any) -> HttpResponse:
    user = _person(request)
    at = now()
    tokens = by_birth(request, queries.tokens_of(user).filter(revoked_at=None), here="/account/")
    shown = {
        "account": user,
        "tokens": tokens.rows,
        "previous_url": tokens.newer_url,
        "next_url": tokens.older_url,
        "now": at,
        "identities": queries.identities_of(user),
        "roles": user.roles.select_related("project").order_by("project__slug", "role"),
        "teams": user.teams.select_related("project"),
        "token_form": TokenForm(),
        "password_form": PasswordForm(),
        **context,
    }
    return render(request, "web/account.html", shown, status=status)


def _person(request: HttpRequest) -> User:
    user = request.user
    if not isinstance(user, User):
        raise TypeError("only reached signed in")
    return user
