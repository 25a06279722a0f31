"""The base of every endpoint: who acts, the checked body, the checked filters, one page of a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from handrail.shared.actors import Actor
from handrail.shared.errors import Forbidden, Invalid
from handrail.shared.rest.bodies import refuse_unstorable
from handrail.shared.rest.conditions import empty_if_known
from handrail.shared.rest.fields import Query
from handrail.shared.rest.limits import PerCaller
from handrail.shared.rest.pages import PagesInOrder, pages

Row = TypeVar("Row", bound=Model)
Serializer = type[serializers.BaseSerializer[Any]]


class Endpoint(APIView):
    """One address. Its methods say in a docstring what they do: the reference is made from them."""

    request: Request

    def get_throttles(self) -> list[BaseThrottle]:
        """One and the same object during a request, so that the answer can tell what it has counted."""
        if not hasattr(self, "_limit"):
            self._limit = PerCaller()
        return [self._limit]

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Tell how much of the limit is left; leave out what the reader has already."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(answer, Response):
            empty_if_known(request, answer)
        if hasattr(self, "_limit"):
            for name, value in self._limit.headers().items():
                answer[name] = value
        return answer

    @property
    def actor(self) -> Actor:
        """Who asks, with the scopes of the token."""
        actor = getattr(self.request, "actor", None)
        if not isinstance(actor, Actor):
            raise Forbidden("Sign in first.", code="sign_in_required")
        return actor

    def body(self, serializer: Serializer) -> dict[str, Any]:
        """The request's body, checked; ValidationError otherwise."""
        refuse_unstorable(self.request.data)
        read = serializer(data=self.request.data)
        read.is_valid(raise_exception=True)
        return dict(read.validated_data)

    def filters(self, serializer: type[Query]) -> dict[str, Any]:
        """The parameters of the address, checked; those that were not given are absent."""
        given = self.request.query_params
        read = serializer(data=given)
        read.refuse_unknown(set(given))
        refuse_unstorable(dict(given.lists()))
        read.is_valid(raise_exception=True)
        return {name: value for name, value in read.validated_data.items() if name in given}

    def where(self, serializer: type[Query], **columns: str) -> dict[str, Any]:
        """The checked parameters as lookups: ``where(ProjectFilter, project="project__slug")``."""
        return {columns[name]: value for name, value in self.filters(serializer).items()}

    def page(
        self,
        rows: QuerySet[Row],
        serializer: Serializer,
        *,
        by: str = "-id",
        context: Callable[[list[Row]], dict[str, Any]] | None = None,
    ) -> Response:
        """One page of ``rows`` along the unique column ``by``; ``context`` is made of the page's rows."""
        paginator = pages(by)
        found = list(paginator.paginate_queryset(rows, self.request, self) or [])
        shown = serializer(found, many=True, context=context(found) if context else {})
        return paginator.get_paginated_response(shown.data)

    def page_in_order(self, rows: Sequence[Any], serializer: Serializer) -> Response:
        """One page of rows that are no query, in an order that stays."""
        paginator = PagesInOrder()
        shown = serializer(paginator.paginate_rows(rows, self.request), many=True)
        return paginator.get_paginated_response(shown.data)


def one_of(rows: QuerySet[Row], what: str, *, field: str = "", **where: Any) -> Row:
    """The row that a body or a filter names, among those that the actor sees; Invalid in words otherwise."""
    row = rows.filter(**where).first()
    if row is None:
        message = f"There is no such {what}, or you may not see it."
        raise Invalid(message, problems=[{"name": field or what, "message": message}])
    return row
