"""Dead letters: the list with its filters, one letter with what it held, and what people do about them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict

from handrail.accounts.permissions import visible_projects
from handrail.alerts.models import Delivery
from handrail.letters import actions as letters
from handrail.letters.models import DeadLetter
from handrail.letters.queries import figures, letter_visible_to, letters_visible_to
from handrail.outbox.models import OutboxMessage
from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError, Invalid
from handrail.web.cursors import by_birth
from handrail.web.pages import after, page, shown
from handrail.web.sent_bodies import without_secret
from runbooks import dead_letters
from runbooks.dead_letters import MOST_AT_ONCE, Answer

KINDS = {"delivery": "Received", "message": "To send", "step": "Steps"}
STATES = {
    "open": "Waiting",
    "retried": "Tried again",
    "settled": "Settled",
    "discarded": "Discarded",
    "all": "All",
}
OWNERS = {"nobody": "Nobody", "me": "Me"}
MOST_OF_A_BODY = 16_000
"""Characters of a delivery's body on the page."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The filters as the reader chose them; unknown words are none."""

    state: str = "open"
    kind: str = ""
    owner: str = ""
    project: str = ""

    @classmethod
    def of(cls, given: QueryDict) -> Chosen:
        """From the address, or from a form that carries it."""
        state, kind, owner = (given.get(name, "") for name in ("state", "kind", "owner"))
        return cls(
            state=state if state in STATES else "open",
            kind=kind if kind in KINDS else "",
            owner=owner if owner in OWNERS else "",
            project=given.get("project", "").replace("\x00", "")[:63],
        )

    @property
    def narrows(self) -> bool:
        """Whether anything was chosen."""
        return self != Chosen()

    def rows(self, actor: Actor) -> QuerySet[DeadLetter]:
        """The letters that fit."""
        found = letters_visible_to(actor)
        if self.state != "all":
            found = found.filter(state=self.state)
        if self.kind:
            found = found.filter(kind=self.kind)
        if self.owner == "nobody":
            found = found.filter(owner=None)
        elif self.owner == "me":
            found = found.filter(owner__isnull=False, owner=actor.user_id)
        if self.project:
            found = found.filter(project__slug=self.project)
        return found


@page("GET")
def dead_letter_list(request: HttpRequest, actor: Actor) -> HttpResponse:
    """``?state=open|retried|settled|discarded|all``, ``?kind=``, ``?owner=nobody|me``, ``?project=``."""
    return shown(request, "web/letters/list.html", _list_context(request, actor))


def _list_context(request: HttpRequest, actor: Actor) -> dict[str, object]:
    chosen = Chosen.of(request.GET)
    fitting = chosen.rows(actor)
    listed = by_birth(request, fitting, here="/dead-letters/")
    entries = _entries(listed.rows, actor)
    open_ones = figures(letters_visible_to(actor))
    return {
        "letters": entries,
        "may_retry": any(entry["may_act"] and not entry["no_retry"] for entry in entries)
        or bool(listed.newer_url or listed.older_url),
        "chosen": chosen,
        "kinds": KINDS,
        "states": STATES,
        "owners": OWNERS,
        "projects": visible_projects(actor),
        "figures": open_ones,
        "fitting": min(fitting.filter(state=DeadLetter.State.OPEN).count(), MOST_AT_ONCE),
        "previous_url": listed.newer_url,
        "next_url": listed.older_url,
        "anything": open_ones.open > 0 or letters_visible_to(actor).exists(),
        "here": request.get_full_path(),
    }


def _entries(rows: Sequence[DeadLetter], actor: Actor) -> list[dict[str, object]]:
    """What to show of each letter; ``no_retry``: why it cannot be tried again, to whoever could do that."""
    mine = [letter for letter in rows if letter.is_open and letters.may_act(letter, actor)]
    refusals = dead_letters.retry_refusals(mine)
    return [
        {
            "letter": letter,
            "may_act": letter.pk in refusals,
            "kind": KINDS[letter.kind],
            "no_retry": refusals.get(letter.pk, ""),
        }
        for letter in rows
    ]


@page("GET")
def dead_letter(request: HttpRequest, actor: Actor, letter_id: uuid.UUID) -> HttpResponse:
    """One letter: what it is, why it was given up, what was received or would have been sent."""
    letter = letter_visible_to(actor, letter_id)
    return shown(request, "web/letters/letter.html", _letter_context(letter, actor))


def _letter_context(letter: DeadLetter, actor: Actor) -> dict[str, object]:
    context: dict[str, object] = {
        **_entries([letter], actor)[0],
        "is_mine": letter.owner_id is not None and letter.owner_id == actor.user_id,
        "before": list(
            letters_visible_to(actor).filter(kind=letter.kind, ref=letter.ref).exclude(pk=letter.pk)[:10]
        ),
    }
    if letter.kind == DeadLetter.Kind.DELIVERY:
        delivery = Delivery.objects.select_related("source__project").filter(pk=letter.ref).first()
        context["delivery"] = delivery
        context["body"] = _body(delivery) if delivery is not None else ""
    elif letter.kind == DeadLetter.Kind.MESSAGE:
        message = OutboxMessage.objects.filter(pk=letter.ref).first()
        context["message"] = message
        if message is not None:
            told = json.dumps(message.payload, indent=2, ensure_ascii=False)
            context["payload"] = told[:MOST_OF_A_BODY]
    return context


def _body(delivery: Delivery) -> str:
    """The beginning of a body as text, without its source's secret."""
    raw = bytes(delivery.body)
    text = raw[: 4 * MOST_OF_A_BODY].decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
    text = without_secret(text, delivery.source)
    if len(text) > MOST_OF_A_BODY:
        return text[:MOST_OF_A_BODY] + f"\n… ({len(raw):,} bytes in all)"
    return text


@page("POST")
def act(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Do what the button says with the letters that are chosen, or with all that fit the filters of the page."""
    try:
        wanted = _wanted(request.POST, actor)
        verb, words = request.POST.get("act", ""), _words(request.POST)
        if verb == "retry":
            answers = dead_letters.act_on_many(
                wanted,
                actor=actor,
                act=lambda letter: dead_letters.retry(letter, actor=actor, reason=words),
            )
            done = "taken up again"
        elif verb == "discard":
            letters.check_reason(words)
            answers = dead_letters.act_on_many(
                wanted,
                actor=actor,
                act=lambda letter: dead_letters.discard(letter, actor=actor, reason=words),
            )
            done = "discarded"
        elif verb in ("take", "release"):
            owner = letters.person_behind(actor) if verb == "take" else None
            answers = dead_letters.act_on_many(
                wanted,
                actor=actor,
                act=lambda letter: letters.assign(letter, owner, actor=actor).what,
            )
            done = "yours now" if verb == "take" else "given back"
        else:
            raise Invalid("Choose what to do with one of the buttons.")
    except HandrailError as error:
        return _refused(request, actor, error)
    _tell(request, answers, done)
    return after(request, "/dead-letters/")


def _wanted(given: QueryDict, actor: Actor) -> list[uuid.UUID]:
    if given.get("which") == "fitting":
        waiting = Chosen.of(given).rows(actor).filter(state=DeadLetter.State.OPEN)
        # The oldest first: what is more than one act takes is there for the next.
        return list(waiting.order_by("pk").values_list("pk", flat=True)[:MOST_AT_ONCE])
    found = []
    for text in given.getlist("letter")[: MOST_AT_ONCE + 1]:
        try:
            found.append(uuid.UUID(text))
        except ValueError:
            raise Invalid("This form is not one of ours: load the page again.") from None
    return found


def _words(given: QueryDict) -> str:
    return given.get("reason", "").replace("\x00", "")[:400]


def _tell(request: HttpRequest, answers: Sequence[Answer], done: str) -> None:
    """How many were done, and each different reason for which others were not."""
    if count := sum(answer.done for answer in answers):
        messages.success(request, f"{count} dead letter{'s are' if count > 1 else ' is'} {done}.")
    refusals = [answer.message for answer in answers if not answer.done]
    for words in list(dict.fromkeys(refusals))[:5]:
        count = refusals.count(words)
        messages.warning(request, f"{count} not: {words}" if len(answers) > 1 else words)


def _refused(request: HttpRequest, actor: Actor, error: HandrailError) -> HttpResponse:
    """The page that the form came from, with what was refused and the words that were typed."""
    only = request.POST.get("only", "")
    typed = {"reason": _words(request.POST), "ticked": request.POST.getlist("letter")}
    try:
        letter = letter_visible_to(actor, uuid.UUID(only)) if only else None
    except ValueError:
        letter = None
    if letter is not None:
        return shown(
            request, "web/letters/letter.html", {**_letter_context(letter, actor), **typed}, refusal=error
        )
    # The form's filters alone: its token and its words are not for an address.
    filters = {name: request.POST.get(name, "") for name in ("state", "kind", "owner", "project")}
    request.GET = QueryDict(urlencode(filters))
    context = {**_list_context(request, actor), **typed, "here": "/dead-letters/"}
    return shown(request, "web/letters/list.html", context, refusal=error)
