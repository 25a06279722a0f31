"""Slack's error codes as classes of ours: what may work later, what never will, and what to do about it.

Source of the codes: https://docs.slack.dev/reference/methods/chat.postMessage and its neighbours.
"""

from __future__ import annotations

from handrail.outbox.errors import Retry, Undeliverable


class MessageGone(Exception):
    """The message that should be rewritten was deleted in Slack: post it anew."""


class ViewGone(Exception):
    """The modal was closed, or the three seconds of the click are over: there is nothing to show it in."""


class AppRefused(Retry):
    """The app may not do it, or is not let in: it may work when somebody has mended the app."""


_WHAT_TO_DO = {
    "channel_not_found": "there is no such channel, or it is private: create it, or invite the app there",
    "not_in_channel": "the app is not in the channel: invite it with /invite",
    "is_archived": "the channel is archived: choose another one",
    "restricted_action": "the workspace does not let apps post there: ask its admin",
    "user_not_in_channel": "the person has left the channel",
    "missing_scope": "the app lacks a scope: install it again with `handrail slack manifest`",
    "invalid_auth": "the bot token is not valid: set HANDRAIL_SLACK_BOT_TOKEN",
    "not_authed": "no bot token was sent: set HANDRAIL_SLACK_BOT_TOKEN",
    "token_revoked": "the bot token was revoked: install the app again",
    "token_expired": "the bot token has expired: install the app again",
    "account_inactive": "the app was removed from the workspace: install it again",
    "invalid_blocks": "Slack refuses the message's layout; this is a mistake of Handrail's",
    "msg_too_long": "the text is too long for Slack",
    "no_text": "the text is empty",
}

_MENDED_BY_PEOPLE = {
    "invalid_auth",
    "not_authed",
    "token_revoked",
    "token_expired",
    "account_inactive",
    "missing_scope",
}
"""Worth trying again: somebody is about to mend the app, and the messages should still arrive."""

_TRANSIENT = {
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
    "accesslimited",
    "message_limit_exceeded",
    "update_failed",
}

RATE_LIMITED = {"ratelimited", "rate_limited"}
"""Mostly with status 429, but the lists of errors have them as codes, too."""

GONE = {"message_not_found", "cant_update_message", "edit_window_closed"}
VIEW_GONE = {"not_found", "expired_trigger_id", "exchanged_trigger_id", "invalid_trigger_id", "hash_conflict"}


def in_words(code: str) -> str:
    """The code, and what to do about it where that is known."""
    advice = _WHAT_TO_DO.get(code)
    return f"Slack says {code}: {advice}." if advice else f"Slack says {code}."


def of_code(code: str) -> Exception:
    """The class for an error code of Slack's."""
    if code in GONE:
        return MessageGone(in_words(code))
    if code in VIEW_GONE:
        return ViewGone(in_words(code))
    if code in _MENDED_BY_PEOPLE:
        return AppRefused(in_words(code))
    if code in _TRANSIENT:
        return Retry(in_words(code))
    return Undeliverable(in_words(code))
