"""Postmortems: read, draft anew, edit section by section, export."""

from __future__ import annotations

import uuid

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.incidents import postmortems
from handrail.incidents.api.reads import incident_of
from handrail.incidents.api.shapes import PostmortemShape, SectionBody, SectionShape, StatusBody
from handrail.incidents.models import Postmortem, PostmortemSection
from handrail.incidents.queries import postmortem_of
from handrail.shared.actors import Actor
from handrail.shared.errors import NotFound
from handrail.shared.rest.bodies import refuse_unstorable
from handrail.shared.rest.conditions import expected_revision, stale_when_moved, tagged
from handrail.shared.rest.schema import IF_MATCH, IF_NONE_MATCH
from handrail.shared.rest.views import Endpoint


class OnePostmortem(Endpoint):
    """An incident's postmortem."""

    @extend_schema(operation_id="get_postmortem", responses=PostmortemShape)
    def get(self, request: Request, incident_id: uuid.UUID) -> Response:
        """The postmortem with its sections. 404 as long as the incident has none."""
        return Response(PostmortemShape(_postmortem(self.actor, incident_id)).data)

    @extend_schema(operation_id="draft_postmortem", request=None, responses=PostmortemShape)
    def post(self, request: Request, incident_id: uuid.UUID) -> Response:
        """Draft it, or bring the draft up to date; what people wrote is kept. Needs `respond`."""
        postmortems.generate(incident_of(self.actor, incident_id), self.actor)
        return Response(PostmortemShape(_postmortem(self.actor, incident_id)).data)

    @extend_schema(operation_id="set_postmortem_status", request=StatusBody, responses=PostmortemShape)
    def patch(self, request: Request, incident_id: uuid.UUID) -> Response:
        """Send it to review, back, or publish it. Needs `respond`."""
        found = _postmortem(self.actor, incident_id)
        postmortems.set_status(found, self.body(StatusBody)["status"], actor=self.actor)
        return Response(PostmortemShape(_postmortem(self.actor, incident_id)).data)


class Section(Endpoint):
    """One section of a postmortem."""

    @extend_schema(
        operation_id="get_postmortem_section",
        parameters=[IF_NONE_MATCH],
        responses={200: SectionShape, 304: None},
    )
    def get(self, request: Request, incident_id: uuid.UUID, key: str) -> Response:
        """The section; its ETag is what an edit needs."""
        return _shown(_section(self.actor, incident_id, key))

    @extend_schema(
        operation_id="edit_postmortem_section",
        parameters=[IF_MATCH],
        request=SectionBody,
        responses=SectionShape,
    )
    def patch(self, request: Request, incident_id: uuid.UUID, key: str) -> Response:
        """Replace the section's text. Needs `respond` and If-Match."""
        section = _section(self.actor, incident_id, key)
        text = self.body(SectionBody)["text"]
        revision = expected_revision(request)
        with stale_when_moved():
            return _shown(postmortems.edit_section(section, text, self.actor, expected_revision=revision))

    @extend_schema(
        operation_id="discard_postmortem_edit", parameters=[IF_MATCH], request=None, responses=SectionShape
    )
    def delete(self, request: Request, incident_id: uuid.UUID, key: str) -> Response:
        """Go back to the generated text, with the newest facts. Needs `respond` and If-Match."""
        section = _section(self.actor, incident_id, key)
        revision = expected_revision(request)
        with stale_when_moved():
            return _shown(postmortems.discard_edit(section, self.actor, expected_revision=revision))


class MarkdownRenderer(BaseRenderer):
    """So that a client may ask for Markdown by name."""

    media_type = "text/markdown"
    format = "md"
    charset = "utf-8"

    def render(self, data: object, *args: object, **kwargs: object) -> bytes:
        """Text as it is."""
        return str(data).encode()


class Markdown(Endpoint):
    """The postmortem as a document."""

    renderer_classes = [JSONRenderer, MarkdownRenderer]

    @extend_schema(
        operation_id="export_postmortem",
        responses={(200, "text/markdown"): OpenApiResponse(OpenApiTypes.STR, description="Markdown.")},
    )
    def get(self, request: Request, incident_id: uuid.UUID) -> HttpResponse:
        """The whole postmortem in Markdown, with links to the evidence."""
        text = postmortems.markdown(_postmortem(self.actor, incident_id))
        return HttpResponse(text, content_type="text/markdown; charset=utf-8")


def _postmortem(actor: Actor, incident_id: uuid.UUID) -> Postmortem:
    postmortem = postmortem_of(incident_of(actor, incident_id))
    if postmortem is None:
        raise NotFound("This incident has no postmortem yet: a draft is made when it is resolved.")
    return postmortem


def _section(actor: Actor, incident_id: uuid.UUID, key: str) -> PostmortemSection:
    refuse_unstorable(key)
    incident = incident_of(actor, incident_id)
    sections = PostmortemSection.objects.filter(postmortem__incident=incident, key=key)
    section = sections.select_related("postmortem__incident", "edited_by").first()
    if section is None:
        raise NotFound("This postmortem has no such section: read the postmortem for the keys.")
    return section


def _shown(section: PostmortemSection) -> Response:
    return tagged(section.revision, SectionShape(section).data)
