"""What the OpenAPI description says beyond the endpoints themselves: every refusal, and that lists come in pages."""

from __future__ import annotations

from typing import Any

_STRING = {"type": "string"}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457: what went wrong, and what to do.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": _STRING,
        "title": _STRING,
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people: what to do."},
        "code": {"type": "string", "description": "For programs: stable."},
        "problems": {"type": "array", "items": {"type": "object"}, "description": "The places, if several."},
    },
    "additionalProperties": True,
}
_ALWAYS = {
    "401": "No token, or one that does not work.",
    "403": "You may see it, but not do it.",
    "404": "There is no such thing, or you may not see it.",
    "405": "The address does not take this method.",
    "406": "Answers are JSON.",
    "422": "Something that was given is not acceptable; `problems` lists the places.",
    "429": "Too many requests: wait for `Retry-After` seconds.",
}
_WITH_BODY = {
    "400": "The body is not JSON.",
    "409": "The state has moved on: somebody was faster, or the act does not apply (any more).",
    "413": "The body is too large.",
    "415": "The body is not `application/json`.",
}
_OF_WHAT_IS_NOT_KEPT = {"410": "Retention has removed it; the message says when."}
_MAY_BE_REMOVED = ("/log/", "/content/", "/retry/")
"""How the addresses end at which one asks for something that is not kept for ever."""
_CONDITIONAL = {
    "412": "Somebody else has changed it since: read it again.",
    "428": "Send If-Match with the ETag that you read.",
}


def document_refusals(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add to each operation the problems that it may answer with."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            refusals = dict(_ALWAYS)
            if "{" not in path:
                del refusals["404"]
            if method != "get":
                refusals |= _WITH_BODY
            if path.endswith(_MAY_BE_REMOVED):
                refusals |= _OF_WHAT_IS_NOT_KEPT
            if any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", [])):
                refusals |= _CONDITIONAL
            for status, words in refusals.items():
                operation["responses"].setdefault(
                    status,
                    {
                        "description": words,
                        "content": {
                            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                        },
                    },
                )
    return result


_LINK = {"type": ["string", "null"], "format": "uri"}


def document_pages(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Each list that takes a cursor answers with one page of rows, and the addresses of its neighbours."""
    for operations in result["paths"].values():
        for operation in operations.values():
            if all(parameter["name"] != "cursor" for parameter in operation.get("parameters", [])):
                continue
            media = operation["responses"]["200"]["content"]["application/json"]
            if media["schema"].get("type") == "array":
                media["schema"] = {
                    "type": "object",
                    "required": ["next", "previous", "results"],
                    "properties": {"next": _LINK, "previous": _LINK, "results": media["schema"]},
                }
    return result
