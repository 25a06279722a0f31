"""The manifest of the Slack app: what a workspace's admin pastes to create it. Pure.

Source: https://docs.slack.dev/reference/app-manifest.
"""

from __future__ import annotations

from typing import Any

INTERACTIVITY_PATH = "/integrations/slack/interactivity"

REQUIRED_SCOPES = ("chat:write",)
"""Without these nothing can be posted."""

USEFUL_SCOPES = {
    "chat:write.public": "posts to public channels without being invited",
    "channels:read": "finds public channels by name",
    "groups:read": "finds private channels by name",
    "channels:history": "recognises its own message after a lost connection, instead of posting it twice",
    "groups:history": "the same in private channels",
}
"""What each further scope is for."""


def manifest(base_url: str) -> dict[str, Any]:
    """The manifest for an installation at ``base_url``."""
    return {
        "display_information": {
            "name": "Handrail",
            "description": "Incidents, runbooks and approvals",
            "background_color": "#1d3557",
        },
        "features": {"bot_user": {"display_name": "Handrail", "always_online": True}},
        "oauth_config": {"scopes": {"bot": [*REQUIRED_SCOPES, *USEFUL_SCOPES]}},
        "settings": {
            "interactivity": {"is_enabled": True, "request_url": f"{base_url}{INTERACTIVITY_PATH}"},
            "org_deploy_enabled": False,
            "socket_mode_enabled": False,
            "token_rotation_enabled": False,
        },
    }
