"""django-storages' S3 backend with our settings, short timeouts, and errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files.base import File
from storages.backends.s3 import S3Storage

from handrail.shared.artifacts import ArtifactStoreDown

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 30, 3


class Bucket(S3Storage):  # type: ignore[misc] # django-storages has no types
    """The bucket and prefix of HANDRAIL_ARTIFACT_STORAGE; keys and region are found as every AWS program finds them."""

    def __init__(self) -> None:
        self.where = settings.ARTIFACT_STORAGE
        bucket, _, prefix = self.where.removeprefix("s3://").partition("/")
        endpoint = settings.ARTIFACT_S3_ENDPOINT
        # Services that are not AWS know buckets by path, and seldom the checksums that are new.
        compatible = {"request_checksum_calculation": "when_required"} if endpoint else {}
        super().__init__(
            bucket_name=bucket,
            location=prefix,
            endpoint_url=endpoint or None,
            file_overwrite=True,
            transfer_config=TransferConfig(use_threads=False),
            client_config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                s3={"addressing_style": "path" if endpoint else "auto"},
                **compatible,
            ),
        )

    def size(self, name: str) -> int:
        """Bytes of an object. Raises FileNotFoundError, ArtifactStoreDown."""
        with self._in_words():
            found: int = super().size(name)
        return found

    def get_modified_time(self, name: str) -> datetime:
        """When an object was written, by the bucket's clock. Raises FileNotFoundError, ArtifactStoreDown."""
        with self._in_words():
            try:
                found: datetime = super().get_modified_time(name)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
                    raise FileNotFoundError(f"{name} is not in {self.where}") from error
                raise
        return found

    def everything(self) -> Iterator[tuple[str, int, datetime]]:
        """Name, bytes and time of writing of every object under the prefix. Raises ArtifactStoreDown."""
        prefix = f"{self.location.strip('/')}/" if self.location.strip("/") else ""
        with self._in_words():
            for found in self.bucket.objects.filter(Prefix=prefix):
                yield found.key.removeprefix(prefix), found.size, found.last_modified

    def delete(self, name: str) -> None:
        """Remove an object, if it is there. Raises ArtifactStoreDown."""
        with self._in_words():
            super().delete(name)

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        with self._in_words():
            opened: File[Any] = super()._open(name, mode)
            opened.open()  # fetches it: later, nobody would translate its errors
        return opened

    def _save(self, name: str, content: File[Any]) -> str:
        with self._in_words():
            saved: str = super()._save(name, content)
        return saved

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise ArtifactStoreDown(f"The artifact store {self.where} failed: {error}") from error
