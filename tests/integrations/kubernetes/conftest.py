"""The fake cluster behind real TLS, with an authority of its own."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

import pytest
import trustme
from pytest_httpserver import HTTPServer

from handrail.accounts.models import Project
from handrail.catalog.models import Connection
from tests.integrations.conftest import SECRET, GiveSecret
from tests.integrations.kubernetes.cluster import TOKEN, FakeCluster, deployment


@pytest.fixture(scope="module")
def _tls() -> Iterator[tuple[HTTPServer, str]]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with HTTPServer(host="127.0.0.1", ssl_context=context) as server:
        yield server, authority.cert_pem.bytes().decode()


@pytest.fixture
def cluster(_tls: tuple[HTTPServer, str], project: Project, give_secret: GiveSecret) -> FakeCluster:
    server, authority = _tls
    server.clear()
    fake = FakeCluster(objects={"/apis/apps/v1/namespaces/shop/deployments/checkout": deployment()})
    server.expect_request(re.compile("/.*")).respond_with_handler(fake.answer)
    give_secret(TOKEN)
    Connection.objects.create(
        project=project,
        name="prod",
        kind="kubernetes",
        base_url=server.url_for("").rstrip("/"),
        authentication="bearer",
        secret_reference=SECRET,
        allowed_networks=["127.0.0.0/8"],
        options={
            "namespaces": ["shop"],
            "verbs": ["scale", "restart", "patch", "cronjob", "job", "cordon", "drain"],
            "certificate_authority": authority,
        },
        timeout_seconds=5,
    )
    return fake
