"""Template tags of the design system; `docs/explanation/design-system.md` shows each with an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.forms import BoundField, CheckboxInput
from django.template.context import Context
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from handrail.shared.printable import printable
from handrail.web import durations
from handrail.web.navigation import Place, places
from handrail.web.signs import graph_state_of, severity_of, sign_of

register = template.Library()
register.filter("printable", printable)

WHEN_STYLES = ("ago", "since", "until", "datetime", "clock")
SHORT_DIGITS = 8


@register.simple_tag
def icon(name: str, label: str = "", css: str = "") -> SafeString:
    """An icon of the sprite; hidden from screen readers unless it has a `label` of its own."""
    address = f"{static('handrail/icons.svg')}#{name}"
    if label:
        return format_html(
            '<svg class="icon {}" role="img" aria-label="{}"><use href="{}"></use></svg>', css, label, address
        )
    return format_html('<svg class="icon {}" aria-hidden="true"><use href="{}"></use></svg>', css, address)


@register.simple_tag
def state(value: object, word: str = "", kind: str = "", css: str = "") -> SafeString:
    """A state as a badge: colour, sign and word; `word` replaces the usual one, `css` is e.g. "badge-large"."""
    sign = sign_of(value, kind)
    turning = "icon-turn" if sign.icon == "loader" else ""
    return format_html(
        '<span class="badge tone-{} {}">{}{}</span>',
        sign.tone,
        css,
        icon(sign.icon, css=turning),
        word or sign.word,
    )


@register.simple_tag
def state_sign(value: object, kind: str = "") -> SafeString:
    """A state as a round sign without its word; the word is there for screen readers."""
    sign = sign_of(value, kind)
    turning = "icon-turn" if sign.icon == "loader" else ""
    return format_html(
        '<span class="sign tone-{}">{}<span class="visually-hidden">{}</span></span>',
        sign.tone,
        icon(sign.icon, css=turning),
        sign.word,
    )


@register.filter
def state_word(value: object) -> str:
    """The word for a state, for use in a sentence."""
    return sign_of(value).word


@register.filter
def tone(value: object) -> str:
    """The colour tone of a state: `tone-{{ run.state|tone }}`."""
    return sign_of(value).tone


@register.filter
def state_icon(value: object) -> str:
    """The icon's name for a state: `{% icon run.state|state_icon %}`."""
    return sign_of(value).icon


@register.simple_tag
def severity(value: object) -> SafeString:
    """A severity as a badge: 1..5, "sev1" or a source's word ("critical")."""
    look = severity_of(value)
    return format_html(
        '<span class="sev tone-{} {}">{}</span>', look.tone, "sev-solid" if look.solid else "", look.word
    )


@register.filter
def duration(value: timedelta | float | None) -> str:
    """A timedelta or seconds in words: "4 min 10 s"; nothing for None."""
    return "" if value is None else durations.words(value)


@register.filter
def since(value: datetime | None) -> str:
    """How long ago when the page was made: "4 min 10 s". Prefer `{% when at "since" %}`, which counts on."""
    return "" if value is None else durations.words(timezone.now() - value)


@register.simple_tag
def when(at: datetime | None, style: str = "ago", empty: str = "-") -> SafeString | str:
    """An instant as <time>: "ago", "since", "until", "datetime", "clock"; local to the reader, UTC on hover."""
    if style not in WHEN_STYLES:
        raise template.TemplateSyntaxError(f"when: {style!r} is not one of {', '.join(WHEN_STYLES)}")
    if at is None:
        return empty
    at = at.astimezone(UTC)
    return format_html(
        '<time class="{}" datetime="{}" title="{} UTC" data-when="{}">{}</time>',
        "countdown" if style == "until" else "",
        at.isoformat().replace("+00:00", "Z"),
        f"{at:%Y-%m-%d %H:%M:%S}",
        style,
        _instant_in_words(at, style),
    )


def _instant_in_words(at: datetime, style: str) -> str:
    # What is read without JavaScript; times.mjs then counts on and turns it local.
    passed = timezone.now() - at
    if style == "ago":
        return f"{durations.words(passed)} ago"
    if style == "since":
        return durations.words(passed)
    if style == "until":
        return f"{durations.clock(-passed)} left" if passed < timedelta(0) else "time is up"
    return f"{at:%H:%M:%S} UTC" if style == "clock" else f"{at.day} {at:%b %Y, %H:%M} UTC"


@register.simple_tag
def countdown(deadline: datetime | None) -> SafeString | str:
    """The time left until a deadline, as a clock: "11:20 left"."""
    return when(deadline, "until", empty="no deadline")


@register.filter
def short(value: object) -> str:
    """An id or digest as people say it: the last eight hex digits of a UUID, the first eight of a digest."""
    digits = str(value).replace("-", "")
    return digits[:SHORT_DIGITS] if len(digits) > 32 else digits[-SHORT_DIGITS:]


@register.simple_tag
def copyable(value: object, shown: str = "", name: str = "") -> SafeString:
    """A value that a press copies whole; `shown` is what is read, `name` says what it is ("run id")."""
    return format_html(
        '<button type="button" class="copy" data-copy="{}" aria-label="Copy {}" title="{}">{}{}</button>',
        value,
        f"{name} {shown or value}".strip(),
        value,
        shown or value,
        icon("copy"),
    )


@register.simple_tag
def field(bound: BoundField, placeholder: str = "") -> SafeString:
    """A form field with label, help and errors, joined for screen readers."""
    attributes: dict[str, str | bool] = {"placeholder": placeholder} if placeholder else {}
    if not isinstance(bound.field.widget, CheckboxInput):
        attributes["class"] = f"input {bound.field.widget.attrs.get('class', '')}".strip()
    check = isinstance(bound.field.widget, CheckboxInput)
    context = {"field": bound, "widget": bound.as_widget(attrs=attributes), "check": check}
    return render_to_string("web/components/field.html", context)


@register.simple_block_tag(end_name="endcard")
def card(content: str, title: str = "", heading: str = "h2", **options: str) -> SafeString:
    """A card. Options: `tone`, `icon`, `id`, `note` (right of the title), `flush="yes"` for lists."""
    context = {"content": content, "title": title, "heading": heading, **options}
    return render_to_string("web/components/card.html", context)


@register.simple_block_tag(end_name="endnotice")
def notice(content: str, tone: str = "running", title: str = "") -> SafeString:
    """Something to know; tone ok, running (information), waiting (warning), failed, unknown."""
    signs = {
        "ok": "circle-check",
        "waiting": "triangle-alert",
        "failed": "octagon-alert",
        "unknown": "circle-help",
    }
    context = {
        "content": content,
        "tone": tone,
        "title": title,
        "icon": signs.get(tone, "info"),
    }
    return render_to_string("web/components/notice.html", context)


@register.simple_block_tag(end_name="enddialog")
def dialog(content: str, anchor: str, title: str, css: str = "") -> SafeString:
    """A dialog opened by `<a href="#ANCHOR" data-dialog-open="ANCHOR">`, with or without JavaScript."""
    context = {"content": content, "anchor": anchor, "title": title, "css": css}
    return render_to_string("web/components/dialog.html", context)


@register.simple_block_tag(end_name="endnothing")
def nothing(content: str, title: str, sign: str = "inbox") -> SafeString:
    """What an empty list says: that it is empty, and the next step. `sign` is the icon's name."""
    return render_to_string("web/components/empty.html", {"content": content, "title": title, "icon": sign})


@register.inclusion_tag("web/components/graph.html")
def graph(
    view: object, anchor: str = "graph", title: str = "Graph of the steps", current: str = ""
) -> dict[str, Any]:
    """The graph of a run or runbook with its ordered list; `current` is the id of the node to centre on."""
    nodes = _member(view, "nodes")
    edges = [[str(a), str(b)] for a, b in _member(view, "edges")]
    drawn = [_graph_node(node) for node in nodes]
    depth = _depths(drawn)
    listed = [{**node, "depth": depth[node["id"]]} for node in drawn]
    return {
        "anchor": anchor,
        "title": title,
        "current": current,
        "data": {"nodes": drawn, "edges": edges},
        "nodes": listed,
    }


def _member(source: object, name: str, default: Any = None) -> Any:
    return source.get(name, default) if isinstance(source, Mapping) else getattr(source, name, default)


def _graph_node(node: object) -> dict[str, str]:
    state_of_node = _member(node, "state") or "pending"
    sign = sign_of(state_of_node)
    return {
        "id": str(_member(node, "id")),
        "title": str(_member(node, "title") or _member(node, "id")),
        "kind": str(_member(node, "kind") or ""),
        "state": graph_state_of(state_of_node),
        "word": "" if _member(node, "state") is None else str(_member(node, "word") or sign.word),
        "parent": str(_member(node, "parent") or ""),
        "href": str(_member(node, "href") or ""),
    }


def _depths(nodes: Sequence[Mapping[str, str]]) -> dict[str, int]:
    parents = {node["id"]: node["parent"] for node in nodes}
    depths: dict[str, int] = {}
    for node_id, parent in parents.items():
        depth, above = 0, parent
        while above in parents and depth < len(parents):
            depth, above = depth + 1, parents[above]
        depths[node_id] = min(depth, 3)
    return depths


@register.simple_tag(takes_context=True)
def navigation(context: Context) -> list[Place]:
    """The header's places; reads `pending_approvals` from the context (0 when the page does not know)."""
    request = context.get("request")
    return places(request.path if request else "/", int(context.get("pending_approvals") or 0))


@register.simple_tag
def server_now() -> str:
    """The server's time, by which the page counts down whatever the reader's own clock says."""
    return timezone.now().astimezone(UTC).isoformat().replace("+00:00", "Z")
