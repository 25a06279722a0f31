"""Bodies of deliveries as people read them: without the secret by which their source proves itself."""

from __future__ import annotations

from handrail.alerts.models import Source
from handrail.vault.redaction import Redactor
from handrail.vault.references import resolvable


def without_secret(text: str, source: Source) -> str:
    """The text with the source's secret, as it is now, redacted: some senders repeat it in what they send."""
    secrets = resolvable([source.secret_reference], source.project) if source.secret_reference else ()
    return Redactor(secrets).text(text)
