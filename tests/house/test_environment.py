"""Settings: what does not fit is refused in words, before anything is built on it."""

from __future__ import annotations

import runpy

import pytest

from handrail.config import settings
from handrail.config.environment import SETTINGS, BadSettingError, Setting, problems, read, unknown_settings


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_default_fits_its_own_form(setting: Setting) -> None:
    assert not setting.default or setting.problem(setting.default) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HANDRAIL_LEASE_SECONDS", "soon"),
        ("HANDRAIL_LEASE_SECONDS", "-1"),
        ("HANDRAIL_LEASE_SECONDS", "0"),
        ("HANDRAIL_WORKER_CONCURRENCY", "257"),
        ("HANDRAIL_QUEUE_PREFIX", "a/b"),
        ("HANDRAIL_BASE_URL", "https://[::1"),
        ("HANDRAIL_BASE_URL", "https://host:99999"),
        ("HANDRAIL_BASE_URL", "https://:8000"),
        ("HANDRAIL_DATABASE_URL", "postgres://u@127.0.0.1:99999/x"),
        ("HANDRAIL_BROKER_URL", "redis://127.0.0.1:99999/0"),
        ("HANDRAIL_WORKER_CONCURRENCY", "0"),
        ("HANDRAIL_BIND", "8000"),
        ("HANDRAIL_BASE_URL", "handrail.example.com"),
        ("HANDRAIL_DATABASE_URL", "mysql://a@b/c"),
        ("HANDRAIL_BROKER_URL", "kafka://a"),
        ("HANDRAIL_POSTMORTEM_SEVERITY", "bad"),
        ("HANDRAIL_LOG_LEVEL", "loud"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettingError, match=name):
        read(name)
    assert any(name in words for words in problems())


def test_words_may_be_written_in_large_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_LOG_FORMAT", "JSON")
    assert runpy.run_path(str(settings.__file__))["LOG_FORMAT"] == "json"


def test_a_secret_that_does_not_fit_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_DATABASE_URL", "mysql://root:hunter2@db/x")
    assert "hunter2" not in " ".join(problems())


def test_a_misspelt_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_LEASE_SECOND", "3")
    assert "HANDRAIL_LEASE_SECOND" in unknown_settings()
