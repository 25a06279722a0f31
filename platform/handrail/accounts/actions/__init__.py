"""The only writers of people, roles, tokens and links: each authorises and audits in one transaction."""

from __future__ import annotations

from handrail.accounts.actions.identities import link_identity, make_identity_link, unlink_identity
from handrail.accounts.actions.people import (
    appoint,
    change_password,
    create_user,
    deactivate_user,
    dismiss,
    reactivate_user,
)
from handrail.accounts.actions.projects import (
    add_member,
    assign_role,
    create_project,
    create_service_account,
    create_team,
    remove_member,
    remove_role,
)
from handrail.accounts.actions.sessions import sign_in_refused, signed_in, signed_out
from handrail.accounts.actions.sign_in_links import make_owner_link, make_sign_in_link, redeem_sign_in_link
from handrail.accounts.actions.tokens import create_token, revoke_token

__all__ = [
    "add_member",
    "appoint",
    "assign_role",
    "change_password",
    "create_project",
    "create_service_account",
    "create_team",
    "create_token",
    "create_user",
    "deactivate_user",
    "dismiss",
    "link_identity",
    "make_identity_link",
    "make_owner_link",
    "make_sign_in_link",
    "reactivate_user",
    "redeem_sign_in_link",
    "remove_member",
    "remove_role",
    "revoke_token",
    "sign_in_refused",
    "signed_in",
    "signed_out",
    "unlink_identity",
]
