"""``Idempotency-Key``: a request that starts something, sent again after a lost answer, starts nothing new."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta

from django.db import IntegrityError, transaction
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.accounts.models import KeptAnswer
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from handrail.shared.errors import Conflict, Invalid

KEPT_FOR = timedelta(hours=24)
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def answer_once(request: Request, actor: Actor, perform: Callable[[], Response]) -> Response:
    """Perform, or give the answer that this account got for the same key and request within 24 hours.

    The answer is kept in the transaction of the act itself: what was refused may be sent again with the same
    key, and two copies at once are one act. Without the header nothing is kept. Raises Invalid for a key that
    was used for another request.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None or actor.user_id is None:
        return perform()
    if not _KEY.fullmatch(key):
        raise Invalid("An Idempotency-Key has 1 to 200 visible ASCII characters, such as a UUID.")
    digest = _digest(request)
    KeptAnswer.objects.filter(user=actor.user_id, key=key, at__lt=database_now() - KEPT_FOR).delete()
    kept = KeptAnswer.objects.filter(user=actor.user_id, key=key).first()
    if kept is None:
        try:
            with transaction.atomic():
                kept = KeptAnswer(user_id=actor.user_id, key=key, digest=digest, at=database_now())
                # Before the act: a second copy waits here until the first has committed.
                kept.save(force_insert=True)
                answer = perform()
                kept.status, kept.body = answer.status_code, json.loads(_rendered(answer))
                kept.save(update_fields=["status", "body"])
                return answer
        except IntegrityError:
            kept = KeptAnswer.objects.filter(user=actor.user_id, key=key).first()
            if kept is None:
                raise
    if kept.digest != digest:
        raise Invalid(
            "This Idempotency-Key was used for another request: take a new one for each thing that you start.",
            code="idempotency_key_reused",
        )
    if kept.status is None:
        raise Conflict("The first request with this key is still being worked on: ask again shortly.")
    return Response(kept.body, status=kept.status, headers={"Idempotent-Replayed": "true"})


def forget_answers() -> int:
    """Delete the answers that nobody can ask for any more; how many. A duty of the sweeper."""
    deleted, _ = KeptAnswer.objects.filter(at__lt=database_now() - KEPT_FOR).delete()
    return deleted


def _digest(request: Request) -> str:
    told = {"method": request.method, "path": request.path, "body": request.data}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _rendered(answer: Response) -> bytes:
    """The answer's data as it will be sent: dates and ids as text."""
    return bytes(JSONRenderer().render(answer.data))
