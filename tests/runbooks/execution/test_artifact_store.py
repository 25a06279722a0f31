"""Artifacts in a bucket and in a folder: durable, proven by their digest, and every failure in words."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.conf import LazySettings
from django.test import Client
from moto.server import ThreadedMotoServer

from handrail.shared import artifacts
from handrail.shared.artifacts import (
    LARGEST_IN_ROW,
    ArtifactChanged,
    ArtifactMissing,
    ArtifactStoreDown,
    expand,
    shrink,
)
from runbooks.execution.live import Unreadable, load
from runbooks.models import Run, RunEvent
from runbooks.steps.base import Success
from tests import factories
from tests.cli.test_check import look
from tests.runbooks.execution.stage import Scripted, Stage, ready_steps

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "eu-central-1",
}


def point_at(settings: LazySettings, where: str, endpoint: str = "") -> None:
    kind = (
        "integrations.s3.storage.Bucket"
        if where.startswith("s3:")
        else "handrail.shared.folder_storage.Folder"
    )
    settings.ARTIFACT_STORAGE, settings.ARTIFACT_S3_ENDPOINT = where, endpoint
    settings.STORAGES = {**settings.STORAGES, "artifacts": {"BACKEND": kind}}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server that speaks S3's protocol on this machine."""
    served = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    served.start()
    host, port = served.get_host_and_port()
    yield f"http://{host}:{port}"
    served.stop()


@pytest.fixture
def bucket(server: str, settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    made = boto3.resource("s3", endpoint_url=server).Bucket("handrail-artifacts")
    made.create(CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    point_at(settings, "s3://handrail-artifacts/production", server)
    yield made
    made.objects.delete()
    made.delete()


@pytest.fixture(params=["bucket", "folder"])
def kept(request: pytest.FixtureRequest, settings: LazySettings, tmp_path: Path) -> Any:
    """Either store; gives ``spoil(digest, content or None)``, which changes or removes behind Handrail's back."""
    if request.param == "bucket":
        made = request.getfixturevalue("bucket")

        def in_bucket(digest: str, content: bytes | None) -> None:
            found = made.Object(f"production/{digest[:2]}/{digest}")
            found.delete() if content is None else found.put(Body=content)

        return in_bucket
    point_at(settings, str(tmp_path / "kept"))

    def in_folder(digest: str, content: bytes | None) -> None:
        path = tmp_path / "kept" / digest[:2] / digest
        path.unlink() if content is None else path.write_bytes(content)

    return in_folder


def test_what_is_kept_comes_back(kept: Any) -> None:
    value = {"text": "ä" * LARGEST_IN_ROW}
    held = shrink(value)
    assert isinstance(held, dict)
    assert set(held) == {"$artifact", "size", "media_type"}
    assert expand(held) == value
    assert shrink(value) == held


def test_a_large_file_comes_back_as_it_was(kept: Any) -> None:
    content = b"0123456789abcdef" * 1024 * 1024
    digest = artifacts.put_file(io.BytesIO(content))
    assert digest == hashlib.sha256(content).hexdigest()
    with artifacts.open_file(digest) as opened:
        assert hashlib.sha256(opened.read()).hexdigest() == digest


def test_what_is_gone_or_changed_is_said(kept: Any) -> None:
    digest = artifacts.put(b"the result")
    kept(digest, b"the resulT")
    for read in (artifacts.get, artifacts.open_file):
        with pytest.raises(ArtifactChanged, match="changed or damaged"):
            read(digest)
    kept(digest, None)
    for read in (artifacts.get, artifacts.open_file):
        with pytest.raises(ArtifactMissing, match="must share one store"):
            read(digest)
    with pytest.raises(ArtifactMissing):
        artifacts.get("../../etc/passwd")


@pytest.mark.django_db
def test_a_file_that_was_cut_short_is_written_anew(kept: Any) -> None:
    digest = artifacts.put(b"the result")
    kept(digest, b"the r")
    assert artifacts.put(b"the result") == digest
    assert artifacts.get(digest) == b"the result"


def test_a_folder_keeps_no_part_of_what_could_not_be_written(
    settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(settings, str(tmp_path / "kept"))

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("handrail.shared.folder_storage.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        artifacts.put(b"the result")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_everything_is_below_the_prefix(bucket: Any) -> None:
    digest = artifacts.put(b"the result")
    assert [found.key for found in bucket.objects.all()] == [f"production/{digest[:2]}/{digest}"]


@pytest.mark.django_db
def test_a_run_keeps_its_large_outputs_in_the_bucket_and_says_when_they_are_not_there(
    bucket: Any, stage: Stage, calls: type[Scripted], settings: LazySettings
) -> None:
    calls.script = {"a": [Success({"text": "y" * (2 * LARGEST_IN_ROW)})]}
    run = stage.start(stage.publish("- {id: a, uses: test.call}"))
    stage.driver.drive(ready_steps(run)[0])
    assert Run.objects.get().state == "succeeded"
    assert load(run.pk)
    assert "$artifact" in json.dumps([event.data for event in RunEvent.objects.all()])
    bucket.objects.delete()
    with pytest.raises(Unreadable, match="s3://handrail-artifacts/production"):
        load(run.pk)


@pytest.mark.django_db
def test_page_and_api_say_that_a_file_was_changed(bucket: Any) -> None:
    step = factories.step(factories.run(factories.runbook(factories.project("shop"))))
    file = factories.artifact(step, b"the rest\n")
    client = Client()
    client.force_login(factories.person(roles={step.run.project: "viewer"}))
    page, api = (
        f"/runs/{step.run_id}/files/{file.pk}/",
        f"/api/v1/runs/{step.run_id}/artifacts/{file.pk}/content/",
    )
    for where in (page, api):
        assert b"".join(client.get(where)) == b"the rest\n"
    bucket.Object(f"production/{file.sha256[:2]}/{file.sha256}").put(Body=b"the resT\n")
    for where in (page, api):
        answer = client.get(where)
        assert answer.status_code == 503
        assert "changed or damaged" in answer.content.decode()


def test_a_store_that_does_not_answer_is_an_error_of_input_and_output(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("integrations.s3.storage.ATTEMPTS", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        point_at(settings, "s3://handrail-artifacts", f"http://127.0.0.1:{taken.getsockname()[1]}")
        for act in (lambda: artifacts.put(b"x"), lambda: artifacts.get("0" * 64)):
            with pytest.raises(ArtifactStoreDown, match="s3://handrail-artifacts failed") as refusal:
                act()
            assert isinstance(refusal.value, OSError)
            assert refusal.value.message == str(refusal.value)


def test_without_the_extra_it_says_what_to_install(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "storages.backends.s3", None)
    monkeypatch.delitem(sys.modules, "integrations.s3.storage", raising=False)
    point_at(settings, "s3://handrail-artifacts")
    with pytest.raises(ArtifactStoreDown, match=r"pip install 'handrail\[s3\]'"):
        artifacts.put(b"x")


def test_check_says_whether_the_bucket_keeps_what_it_is_given(
    bucket: Any, server: str, tmp_path: Path
) -> None:
    given = {"HANDRAIL_ARTIFACT_S3_ENDPOINT": server, **KEYS}
    _, said, _ = look(tmp_path, HANDRAIL_ARTIFACT_STORAGE="s3://handrail-artifacts/production", **given)
    assert said["artifacts"][:2] == ("ok", "s3://handrail-artifacts/production keeps what it is given")
    assert list(bucket.objects.all()) == []
    status, said, _ = look(tmp_path, HANDRAIL_ARTIFACT_STORAGE="s3://no-such-bucket", **given)
    assert status == 1
    level, found, mend = said["artifacts"]
    assert level == "error"
    assert "NoSuchBucket" in found
    assert "keep-artifacts-in-a-bucket.md" in mend
    away = tmp_path.parent / f"{tmp_path.name}-not-mounted"
    status, said, _ = look(tmp_path, HANDRAIL_ARTIFACT_STORAGE=str(away))
    assert said["artifacts"][:2] == ("error", f"the folder {away} is not there")
    assert not away.exists()
    status, said, _ = look(tmp_path, HANDRAIL_ARTIFACT_STORAGE="a/folder")
    assert "absolute path of a folder, or s3://bucket/prefix" in said["settings"][1]


@pytest.mark.django_db(transaction=True)
def test_a_result_waits_for_a_store_that_is_away(
    bucket: Any, stage: Stage, calls: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls.script = {"a": [Success({"text": "y" * (2 * LARGEST_IN_ROW)})]}
    run = stage.start(stage.publish("- {id: a, uses: test.call}"))
    save, away = artifacts.store().save, [True]

    def sometimes(name: str, content: Any) -> str:
        if away:
            away.pop()
            raise ArtifactStoreDown("The artifact store is away.")
        return save(name, content)

    monkeypatch.setattr(artifacts.store(), "save", sometimes)
    stage.driver.drive(ready_steps(run)[0])
    assert not away
    assert Run.objects.get().state == "succeeded"
    assert len(calls.calls) == 1
