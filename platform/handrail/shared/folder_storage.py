"""A folder as a store: files that are whole or not there, and on the disk when they are said to be."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage
from django.utils.functional import cached_property

_CHUNK = 64 * 1024


class Folder(FileSystemStorage):
    """The folder of HANDRAIL_ARTIFACT_STORAGE, for its owner alone."""

    def __init__(self) -> None:
        super().__init__(location=settings.ARTIFACT_STORAGE, allow_overwrite=True)

    @cached_property
    def where(self) -> str:
        """Its name for people."""
        return f"the artifact folder {self.location}"

    def everything(self) -> Iterator[tuple[str, int, datetime]]:
        """Name, bytes and time of writing of every file in it, unfinished ones too."""
        for folder in _entries(str(self.location)):
            for file in _entries(folder.path) if folder.is_dir() else ():
                try:
                    about = file.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # removed meanwhile
                yield f"{folder.name}/{file.name}", about.st_size, datetime.fromtimestamp(about.st_mtime, UTC)

    def _save(self, name: str, content: File[Any]) -> str:
        path = Path(self.path(name))
        new = not path.parent.is_dir()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Whole or not at all, and on the disk before the row that refers to it commits.
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
            try:
                shutil.copyfileobj(content, part, _CHUNK)
                part.flush()
                os.fsync(part.fileno())
                Path(part.name).replace(path)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
        _sync(path.parent)
        if new:
            _sync(path.parent.parent)
        return name


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except FileNotFoundError:
        return []


def _sync(folder: Path) -> None:
    """A name is on the disk when its folder is."""
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
