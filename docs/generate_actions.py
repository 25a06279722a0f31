"""The reference of the action types, made from the types themselves: ``python docs/generate_actions.py``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from runbooks.language.actions import ActionSpec

PAGE = Path(__file__).parent / "reference" / "actions.md"

HEAD = """# Actions

What a step can call with `uses`. This page is written by `docs/generate_actions.py` from the action types.

A failed call has a code, which `retry.only_on` and `retry.not_on` read, and is either worth a retry or not. It is
*uncertain* when the effect may have happened all the same, such as a write whose answer was lost: the step then
becomes `uncertain`, and its `probe` or a person decides.

| code | from | retried | uncertain |
|---|---|---|---|
| `invalid_input` | what the action refuses; 400, 405, 413, 414, 415, 422, 501; Prometheus' `bad_data` | no | no |
| `connection_not_found` | no connection of this name in the project | no | no |
| `not_allowed` | what the connection does not allow, or a connection of another kind; a pool without shell | no | no |
| `not_installed` | the worker lacks the action's library; the message says what to install | no | no |
| `address_refused` | the name leads to an address that the connection may not reach | no | no |
| `secret_not_found` | the secret cannot be read | no | no |
| `secret_refused` | the project may not read the secret | no | no |
| `dns_failed`, `connect_failed` | no address, nobody there, or a certificate of another name | yes | no |
| `host_key_refused` | an SSH host showed a key that the connection does not name | no | no |
| `timeout` | no full answer in time; 408; a program that did not end | yes | writes and programs |
| `connection_lost` | the answer broke off; an SSH program that never said how it ended | yes | writes and programs |
| `authentication_failed` | 401, or a refused SSH key; also with the secret fetched again | no | no |
| `permission_denied` | 403 | no | no |
| `not_found`, `conflict` | 404, 410; 409, 412 (423 is retried) | no | no |
| `rate_limited` | 429; `Retry-After` is honoured | yes | no |
| `server_error` | other 5xx, 425 | yes | writes, for 502, 504, 520 and 524 |
| `rejected`, `unexpected_status` | other 4xx, a host that starts no program; not in `expect_status` | no | no |
| `redirect_refused` | a redirect to another place, or of a write | no | writes, for 301 to 303 |
| `response_too_large` | an answer that is larger than what is read or kept | no | no |
| `bad_response` | not what such a service answers | no | writes |
| `function_error` | a Lambda function that ended with an error | no | no |
| `program_not_found` | the program is not installed on this worker | no | no |
| `exit_code` | the program ended with a status other than 0 | yes | no |
| `killed`, `cancelled` | the program was ended by a signal; the run was stopped | no | yes |
| `rollout_failed`, `job_failed` | a rollout past its progress deadline, or of `OnDelete`; a Job that failed | no | no |
| `unmanaged_pods`, `local_data` | a drain that would lose pods or data, refused before it began | no | no |
| `disruption_budget` | a drain that a PodDisruptionBudget did not allow in time | yes | no |
| `has_incident` | `incident.declare` in a run that belongs to one | no | no |
| `concurrency`, `rate_limited`, `loop_guard` | `runbook.start`: limits of the other, or the loop guard | no | no |
| `no_incident` | `incident.update` in a run without an incident | no | no |
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The whole page, as it should be."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "handrail.config.settings")
    django.setup()
    from runbooks.steps import registry

    return "\n".join([HEAD, *(section(spec) for spec in registry.specs().values())])


def section(spec: ActionSpec) -> str:
    """One action type."""
    idempotent = "yes" if spec.idempotent else "if the step says so" if spec.may_be_idempotent else "no"
    effect = f"{spec.effect}" + (", narrowed by the inputs" if spec.effect_of else "")
    kind = spec.connection_kind
    connection = f" [Connection](connections.md#kinds): of the kind `{kind}`." if kind else ""
    lines = [
        f"## `{spec.name}`: {spec.title}",
        "",
        spec.description,
        "",
        f"Effect: {effect}. Idempotent: {idempotent}." + connection,
        "",
    ]
    properties = spec.inputs_schema.get("properties")
    if isinstance(properties, Mapping) and properties:
        lines += ["| input | | what it is |", "|---|---|---|"]
        required = spec.inputs_schema.get("required")
        for name, about in properties.items():
            notes = ["required"] if isinstance(required, list) and name in required else []
            notes += ["static text"] if name in spec.static_inputs else []
            notes += [f"values are encoded ({spec.encodings[name]})"] if name in spec.encodings else []
            described = about if isinstance(about, Mapping) else {}
            if "default" in described:
                notes.append(f"default `{described['default']}`")
            lines.append(f"| `{name}` | {', '.join(notes)} | {_about(described)} |")
        lines.append("")
    if spec.outputs:
        lines += ["| output | what it is |", "|---|---|"]
        lines += [f"| `{name}` | {about} |" for name, about in spec.outputs.items()]
        lines.append("")
    return "\n".join(lines)


def _about(described: Mapping[str, object]) -> str:
    words = str(described.get("description", ""))
    choices = described.get("enum")
    if isinstance(choices, list):
        words += " One of " + ", ".join(f"`{choice}`" for choice in choices) + "."
    return words.strip()


if __name__ == "__main__":
    main()
