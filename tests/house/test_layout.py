"""The layout of the repository: what must never come back."""

from __future__ import annotations

import platform as imported_platform
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


def test_platform_folder_is_no_package() -> None:
    assert not (TOP / "platform" / "__init__.py").exists()


def test_the_imported_platform_is_pythons_own() -> None:
    assert TOP not in Path(imported_platform.__file__).resolve().parents
    assert imported_platform.python_version()


def test_platform_stays_pythons_own_when_started_by_manage_py() -> None:
    code = "import runpy; runpy.run_path('manage.py'); import platform; print(platform.__file__)"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=True
    ).stdout
    assert TOP not in Path(printed.strip()).resolve().parents


@pytest.mark.parametrize("root", ["platform", "."])
def test_no_package_of_ours_bears_a_standard_library_name(root: str) -> None:
    ours = {child.parent.name for child in (TOP / root).glob("*/__init__.py")}
    assert not ours & set(sys.stdlib_module_names)


def test_the_top_level_is_the_one_of_the_architecture_page() -> None:
    needed = [
        "manage.py",
        "pyproject.toml",
        "platform",
        "runbooks",
        "integrations",
        "templates",
        "tests",
        "deploy",
    ]
    missing = [name for name in needed if not (TOP / name).exists()]
    assert not missing


def test_no_lock_file_names_a_registry() -> None:
    for lock in (TOP / "requirements").glob("*.txt"):
        text = lock.read_text()
        assert "://" not in text, f"{lock.name} names an address"
        assert "--hash=sha256:" in text


def test_the_settings_page_is_the_one_of_the_table() -> None:
    from handrail.config.environment import settings_markdown

    assert (TOP / "docs/reference/settings.md").read_text() == settings_markdown(), (
        "docs/reference/settings.md is out of date: write handrail.config.environment.settings_markdown() to it"
    )
