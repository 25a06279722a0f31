"""The pages' addresses."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from handrail.web import account, circuits, dead_letter, sign_in, workers

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("handrail.web.incident_urls")),
    path("", include("handrail.web.runbook_urls")),
    path("dead-letters/", dead_letter.dead_letter_list, name="dead_letters"),
    path("dead-letters/act/", dead_letter.act, name="dead_letters_act"),
    path("dead-letters/<uuid:letter_id>/", dead_letter.dead_letter, name="dead_letter"),
    path("workers/", workers.workers, name="workers"),
    path("sign-in/", sign_in.sign_in, name="sign_in"),
    path("sign-out/", sign_in.sign_out, name="sign_out"),
    path("link/<str:token>/", sign_in.one_time_link, name="one_time_link"),
    path("circuits/", circuits.circuit_list, name="circuits"),
    path("circuits/<uuid:circuit_id>/<slug:verb>/", circuits.circuit_verb, name="circuit_verb"),
    path("account/", account.account, name="account"),
    path("account/password/", account.change_password, name="account_password"),
    path("account/tokens/", account.create_token, name="account_tokens"),
    path("account/tokens/<uuid:token_id>/revoke/", account.revoke_token, name="account_token_revoke"),
    path("account/identities/<uuid:identity_id>/unlink/", account.unlink, name="account_identity_unlink"),
]
