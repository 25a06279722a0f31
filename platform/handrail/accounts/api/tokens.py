"""One's own tokens over REST, and those of service accounts."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.accounts import actions
from handrail.accounts.api.shapes import NewTokenShape, TokenBody, TokenShape
from handrail.accounts.models import ApiToken, User
from handrail.accounts.permissions import Permission, visible_projects
from handrail.shared.actors import Actor
from handrail.shared.errors import NotFound
from handrail.shared.rest.fields import NoFilters
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint, one_of


class Tokens(Endpoint):
    """Tokens."""

    @extend_schema(operation_id="list_tokens", parameters=PAGING, responses=TokenShape(many=True))
    def get(self, request: Request) -> Response:
        """Your tokens, and those of the service accounts that you administer."""
        self.filters(NoFilters)
        return self.page(_tokens(self.actor), TokenShape)

    @extend_schema(operation_id="create_token", request=TokenBody, responses={201: NewTokenShape})
    def post(self, request: Request) -> Response:
        """A new token, shown this once. One made with a token can do no more than that one, and ends with it at the
        latest.
        """
        given = self.body(TokenBody)
        if "service_account" in given:
            projects = visible_projects(self.actor, Permission.ADMINISTER)
            accounts = User.objects.filter(kind=User.Kind.SERVICE, project__in=projects)
            account = one_of(accounts, "service account", username=given["service_account"])
        else:
            account = one_of(User.objects.all(), "account", pk=self.actor.user_id)
        made = actions.create_token(
            account,
            given["name"],
            scopes=given["scopes"],
            actor=self.actor,
            lasts=timedelta(days=given["days"]) if "days" in given else None,
        )
        return Response(NewTokenShape(made.row, context={"plain": made.plain}).data, status=201)


class OneToken(Endpoint):
    """One token."""

    @extend_schema(operation_id="revoke_token", request=None, responses={204: None})
    def delete(self, request: Request, token_id: uuid.UUID) -> Response:
        """End the token now."""
        token = _tokens(self.actor).filter(pk=token_id).first()
        if token is None:
            raise NotFound("There is no such token, or it is not yours.")
        actions.revoke_token(token, actor=self.actor)
        return Response(status=204)


def _tokens(actor: Actor) -> QuerySet[ApiToken]:
    projects = visible_projects(actor, Permission.ADMINISTER)
    mine = Q(user=actor.user_id) | Q(user__kind=User.Kind.SERVICE, user__project__in=projects)
    return ApiToken.objects.filter(mine).select_related("user")
