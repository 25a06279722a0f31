"""How an endpoint's methods are described: names, shapes, and the headers of conditions and repetitions."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

IF_MATCH = OpenApiParameter(
    "If-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="The ETag that you read."
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The ETag that you have: 304 without a body when nothing has changed.",
)
IF_NONE_YET = OpenApiParameter(
    "If-None-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="`*`: only if there is none yet."
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Sent again within 24 hours, the same request gets the same answer and starts nothing new.",
)
LIMIT = OpenApiParameter("limit", OpenApiTypes.INT, description="Rows of a page: 1 to 200, default 50.")
CURSOR = OpenApiParameter("cursor", OpenApiTypes.STR, description="From `next` or `previous` of an answer.")
PAGING = [LIMIT, CURSOR]
