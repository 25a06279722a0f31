"""Dead letters over REST: listed, assigned, retried, discarded."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.accounts.models import User
from handrail.letters import actions as letters
from handrail.letters.models import DeadLetter
from handrail.letters.queries import letter_visible_to, letters_visible_to
from handrail.shared.clock import now
from handrail.shared.errors import Forbidden
from handrail.shared.links import dead_letter_url
from handrail.shared.rest.fields import Body, Choice, Id, Query, Text
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint, one_of
from runbooks import dead_letters

ME, NOBODY = "me", "nobody"


class DeadLetterFilters(Query):
    """The filters of the list."""

    project = serializers.CharField(required=False, help_text="The slug of a project.")
    kind = Choice(DeadLetter.Kind.choices, required=False)
    state = Choice(DeadLetter.State.choices, required=False)
    owner = serializers.CharField(required=False, help_text="`me`, `nobody`, or a username.")


class DeadLetterShape(serializers.ModelSerializer[DeadLetter]):
    """Something that was given up: ``what`` and ``why`` in words. ``ref`` is the delivery, message or step."""

    project = serializers.CharField(source="project.slug", read_only=True, allow_null=True)
    owner = serializers.CharField(source="owner.username", read_only=True, allow_null=True)
    run = serializers.UUIDField(source="run_id", read_only=True, allow_null=True)
    age_seconds = serializers.SerializerMethodField(help_text="How long it has waited, or had when it ended.")
    url = serializers.SerializerMethodField(help_text="Its page.")
    retry_refused = serializers.SerializerMethodField(
        help_text="Why retrying it would be refused now, in words; empty where it would not."
    )

    class Meta:
        model = DeadLetter
        fields = (
            "id", "project", "kind", "ref", "run", "what", "why", "state", "owner", "died_at", "age_seconds",
            "ended_at", "ended_by", "reason", "url", "retry_refused",
        )  # fmt: skip
        read_only_fields = fields

    def get_age_seconds(self, row: DeadLetter) -> float:
        """Seconds."""
        return max(0.0, ((row.ended_at or now()) - row.died_at).total_seconds())

    def get_url(self, row: DeadLetter) -> str:
        """The letter's page."""
        return dead_letter_url(row.pk)

    def get_retry_refused(self, row: DeadLetter) -> str:
        """In words."""
        refusals: Mapping[uuid.UUID, str] = self.context["refusals"]
        return refusals.get(row.pk, "")


def _refusals(rows: Sequence[DeadLetter]) -> dict[str, Any]:
    """What the shape needs to know beside the letters: in a few queries for a whole page."""
    return {"refusals": dead_letters.retry_refusals([row for row in rows if row.is_open])}


def _shown(letter: DeadLetter) -> Response:
    return Response(DeadLetterShape(letter, context=_refusals([letter])).data)


class AssignBody(Body):
    """Who looks after it."""

    owner = Text(
        max_length=150, allow_blank=True, help_text="A username, `me`, or nothing for nobody any more."
    )


class RetryBody(Body):
    """Which; and why, which stands in the history of a step."""

    ids = cast(
        "Any", serializers.ListField(child=Id(), max_length=dead_letters.MOST_AT_ONCE, allow_empty=False)
    )
    reason = Text(max_length=400, required=False, default="", allow_blank=True)


class DiscardBody(Body):
    """Which, and why."""

    ids = cast(
        "Any", serializers.ListField(child=Id(), max_length=dead_letters.MOST_AT_ONCE, allow_empty=False)
    )
    reason = Text(max_length=400)


class AnswerShape(serializers.Serializer[Any]):
    """What became of one letter. ``done`` is also true when it had been done before."""

    id = serializers.UUIDField()
    done = serializers.BooleanField()
    message = serializers.CharField()


class AnswersShape(serializers.Serializer[Any]):
    """What became of each letter, in the order of the request."""

    answers = AnswerShape(many=True)


class DeadLetters(Endpoint):
    """Dead letters."""

    @extend_schema(
        operation_id="list_dead_letters",
        parameters=[DeadLetterFilters, *PAGING],
        responses=DeadLetterShape(many=True),
    )
    def get(self, request: Request) -> Response:
        """What was given up in the projects where you can do something about it, newest first; `state=open` waits."""
        filters = self.filters(DeadLetterFilters)
        rows = letters_visible_to(self.actor)
        owner = filters.pop("owner", None)
        if owner == NOBODY:
            rows = rows.filter(owner=None)
        elif owner == ME:
            rows = rows.filter(owner__isnull=False, owner=self.actor.user_id)
        elif owner is not None:
            rows = rows.filter(owner__username=owner)
        columns = {"project": "project__slug", "kind": "kind", "state": "state"}
        return self.page(
            rows.filter(**{columns[name]: value for name, value in filters.items()}),
            DeadLetterShape,
            context=_refusals,
        )


class OneDeadLetter(Endpoint):
    """One dead letter."""

    @extend_schema(operation_id="get_dead_letter", responses=DeadLetterShape)
    def get(self, request: Request, letter_id: uuid.UUID) -> Response:
        """One dead letter."""
        return _shown(letter_visible_to(self.actor, letter_id))


class Assign(Endpoint):
    """The owner of a dead letter."""

    @extend_schema(operation_id="assign_dead_letter", request=AssignBody, responses=DeadLetterShape)
    def post(self, request: Request, letter_id: uuid.UUID) -> Response:
        """Say who looks after it. Needs `operate` for deliveries and messages, `respond` for steps."""
        letter = letter_visible_to(self.actor, letter_id)
        name = self.body(AssignBody)["owner"]
        # Before anybody is looked for: whoever may not assign it shall not learn who has an account.
        letters.authorize_acting(letter, self.actor)
        owner = None
        if name == ME:
            owner = letters.person_behind(self.actor)
            if owner is None:
                raise Forbidden("Only a person can look after a dead letter: name one.")
        elif name:
            owner = one_of(User.objects.filter(is_active=True), "person", field="owner", username=name)
        letters.assign(letter, owner, actor=self.actor)
        return _shown(letter_visible_to(self.actor, letter_id))


class Retry(Endpoint):
    """Retrying."""

    @extend_schema(operation_id="retry_dead_letters", request=RetryBody, responses=AnswersShape)
    def post(self, request: Request) -> Response:
        """Take up to 200 up again: deliveries are read again, messages due again, parked steps tried again."""
        given = self.body(RetryBody)
        answers = dead_letters.act_on_many(
            given["ids"],
            actor=self.actor,
            act=lambda letter: dead_letters.retry(letter, actor=self.actor, reason=given["reason"]),
        )
        return Response(AnswersShape({"answers": answers}).data)


class Discard(Endpoint):
    """Discarding."""

    @extend_schema(operation_id="discard_dead_letters", request=DiscardBody, responses=AnswersShape)
    def post(self, request: Request) -> Response:
        """Say of up to 200 that nothing will be done, and why: they stay readable; parked steps count as failed."""
        given = self.body(DiscardBody)
        answers = dead_letters.act_on_many(
            given["ids"],
            actor=self.actor,
            act=lambda letter: dead_letters.discard(letter, actor=self.actor, reason=given["reason"]),
        )
        return Response(AnswersShape({"answers": answers}).data)
