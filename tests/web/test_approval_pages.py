"""Approvals on the web: whose they are, what they say, and deciding them once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from handrail.accounts.models import User
from handrail.shared.clock import now
from runbooks import approvals, queries
from runbooks.models import Approval, Run, Vote
from tests import factories
from tests.web import scene as scenes
from tests.web.scene import Scene

Browse = Callable[[User], Client]


def test_mine_are_exactly_those_that_i_may_decide(scene: Scene) -> None:
    asked = [
        scenes.asking(scene),
        scenes.asking(scene, votes=0),
        scenes.asking(scene, excluded=[str(scene.dba.pk)]),
        scenes.asking(scene, expires_at=None),
        scenes.asking(scene, state=Approval.State.REJECTED),
    ]
    named = scenes.asking(scene, votes=0)
    named.policy = {"teams": [], "users": ["ada"]}
    named.save()
    anybody = scenes.asking(scene, votes=0)
    anybody.policy = {}
    anybody.save()
    people = [scene.admin, scene.dba, scene.other_dba, scene.viewer, factories.owner()]
    for person in people:
        actor = factories.actor(person)
        mine = {approval.pk for approval in queries.approvals_for(actor)}
        expected = {
            approval.pk
            for approval in [*asked, named, anybody]
            if approval.state == Approval.State.PENDING and approvals.may_decide(approval, actor).allowed
        }
        assert mine == expected, person


def test_an_approval_that_expired_is_nobodys(scene: Scene) -> None:
    scenes.asking(scene, expires_at=now() - timedelta(seconds=1))
    assert queries.approvals_for(factories.actor(scene.dba)) == []


def test_the_header_counts_what_waits_for_the_reader(scene: Scene, browse: Browse) -> None:
    scenes.asking(scene)
    assert '<span class="count">' in browse(scene.dba).get("/runs/").content.decode()
    assert '<span class="count">' not in browse(scene.viewer).get("/runs/").content.decode()


@pytest.mark.parametrize("show", ["mine", "pending", "all", "nonsense"])
def test_an_empty_list_says_what_will_be_here(scene: Scene, browse: Browse, show: str) -> None:
    page = browse(scene.viewer).get(f"/approvals/?show={show}")
    assert page.status_code == 200
    assert 'class="empty"' in page.content.decode()


def test_the_page_says_what_will_run_why_and_what_a_denial_means(scene: Scene, browse: Browse) -> None:
    approval = scenes.asking(scene, run_fields={"incident": scenes.incident(scene)})
    page = browse(scene.dba).get(f"/approvals/{approval.pk}/").content.decode()
    for words in (
        "Approve: Fail over the checkout database in eu-1?",
        "POST https://db-admin.internal/failover",
        "irreversible",
        "3f9c 21aa",
        "INC-42 High error rate on checkout, SEV1",
        "was not so in time: 3.1 % &gt; 2 %",
        "The run goes on without: Fail the database over. In the end, always: Say how it ended.",
        "1 of 2 approvals",
        "Needs 1 more of: dba-oncall",
        "Noor Haddad",
        "then: rejected",
    ):
        assert words in page, words


def test_whoever_may_not_decide_is_told_why(scene: Scene, browse: Browse) -> None:
    approval = scenes.asking(scene, excluded=[str(scene.dba.pk)])
    address = f"/approvals/{approval.pk}/"
    assert "You started this run" in browse(scene.dba).get(address).content.decode()
    assert "You have already voted" in browse(scene.other_dba).get(address).content.decode()
    viewer = browse(scene.viewer).get(address).content.decode()
    assert "You do not have the approver role" in viewer
    assert 'value="approve"' not in viewer


def test_a_vote_that_counts_no_more_is_shown_with_its_reason(scene: Scene, browse: Browse) -> None:
    approval = scenes.asking(scene)
    approval.votes.update(void_reason="may no longer approve in this project")
    page = browse(scene.dba).get(f"/approvals/{approval.pk}/").content.decode()
    assert "0 of 2 approvals" in page
    assert "Does not count: Noor Haddad may no longer approve in this project." in page


def test_the_last_approval_closes_it_and_leads_back_to_the_run(scene: Scene, browse: Browse) -> None:
    approval = scenes.asking(scene)
    run = f"/runs/{approval.run_id}/"
    answer = browse(scene.dba).post(
        f"/approvals/{approval.pk}/decide/", {"decision": "approve", "reason": "", "next": run}
    )
    assert (answer.status_code, answer["Location"]) == (303, run)
    approval.refresh_from_db()
    assert (approval.state, approval.decided_channel) == ("approved", "web")


def test_a_denial_needs_a_reason_and_keeps_what_was_typed(scene: Scene, browse: Browse) -> None:
    approval = scenes.asking(scene)
    client, address = browse(scene.dba), f"/approvals/{approval.pk}/decide/"
    answer = client.post(address, {"decision": "deny", "reason": "  "})
    assert answer.status_code == 422
    assert "Say why you deny it" in answer.content.decode()
    assert client.post(address, {"decision": "deny", "reason": "Too risky\x00 now"}).status_code == 303
    page = client.get(f"/approvals/{approval.pk}/").content.decode()
    assert "Denied by Lin Chen" in page
    assert "Too risky now" in page


def test_whoever_comes_second_is_told_who_decided(scene: Scene, browse: Browse) -> None:
    approval = scenes.asking(scene, votes=0, quorum=1)
    first, second = browse(scene.dba), browse(scene.other_dba)
    assert first.post(f"/approvals/{approval.pk}/decide/", {"decision": "approve"}).status_code == 303
    late = second.post(f"/approvals/{approval.pk}/decide/", {"decision": "deny", "reason": "no"})
    assert late.status_code == 409
    assert "Already approved by Lin Chen (web)" in late.content.decode()
    assert Vote.objects.filter(approval=approval).count() == 1


@pytest.mark.parametrize("decision", ["", "maybe", "approve\x00"])
def test_a_decision_that_is_none_is_refused(scene: Scene, browse: Browse, decision: str) -> None:
    approval = scenes.asking(scene)
    answer = browse(scene.dba).post(f"/approvals/{approval.pk}/decide/", {"decision": decision})
    assert answer.status_code == 422


def test_the_way_back_never_leads_elsewhere(scene: Scene, browse: Browse) -> None:
    approval = scenes.asking(scene)
    answer = browse(scene.dba).post(
        f"/approvals/{approval.pk}/decide/", {"decision": "approve", "next": "https://evil.example/"}
    )
    assert answer["Location"] == f"/approvals/{approval.pk}/"


def test_what_is_approved_is_what_is_read(scene: Scene, browse: Browse) -> None:
    approval = scenes.asking(scene)
    approval.plan = [
        {
            "step": "s",
            "title": "Fail over",
            "action": "http.request",
            "preview": "delete \u202eesaelp\ntarget nothing",
            "target": "database",
            "effect": "irreversible",
        }
    ]
    approval.save()
    page = browse(scene.dba).get(f"/approvals/{approval.pk}/").content.decode()
    assert "\u202e" not in page
    assert "delete \\u202eesaelp\\ntarget nothing\ntarget database" in page


def test_the_address_of_a_form_says_so_to_whoever_opens_it(scene: Scene, browse: Browse) -> None:
    approval = scenes.asking(scene)
    answer = browse(scene.dba).get(f"/approvals/{approval.pk}/decide/")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert "only takes what a form sends" in answer.content.decode()


def test_a_refused_decision_leaves_a_page_that_goes_on_following_its_run(
    scene: Scene, browse: Browse
) -> None:
    approval = scenes.asking(scene)
    own = f'data-live-page="/approvals/{approval.pk}/"'
    client = browse(scene.dba)
    assert own not in client.get(f"/approvals/{approval.pk}/").content.decode()
    refused = client.post(f"/approvals/{approval.pk}/decide/", {"decision": "deny", "reason": ""})
    assert own in refused.content.decode()


def test_the_page_of_a_run_that_is_over_does_not_say_that_it_connects(scene: Scene, browse: Browse) -> None:
    approval = scenes.asking(scene)
    client = browse(scene.dba)
    assert "data-live-status" in client.get(f"/approvals/{approval.pk}/").content.decode()
    Run.objects.filter(pk=approval.run_id).update(state="cancelled", is_open=False)
    assert "data-live-status" not in client.get(f"/approvals/{approval.pk}/").content.decode()
