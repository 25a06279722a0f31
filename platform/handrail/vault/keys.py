"""The installation's encryption keys: the newest encrypts, all of them decrypt, so that keys can be rotated."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from handrail.shared.errors import HandrailError

KEY_FILE = "vault.keys"


class CannotDecrypt(Exception):
    """None of the keys opens it."""


class BadKeys(HandrailError):
    """The keys of the installation cannot be used: whoever runs it has to act."""

    code = "bad_vault_keys"
    status = 503


def encrypt(value: str) -> bytes:
    """Encrypted and authenticated with the first key."""
    return _fernet().encrypt(value.encode("utf-8", "surrogatepass"))


def decrypt(ciphertext: bytes) -> str:
    """The value, by whichever key made it."""
    try:
        return _fernet().decrypt(ciphertext).decode("utf-8", "surrogatepass")
    except InvalidToken:
        raise CannotDecrypt(
            "none of the keys in HANDRAIL_VAULT_KEYS or the key file opens it. Add the key that it was made with."
        ) from None


def rotate(ciphertext: bytes) -> bytes:
    """The same value under the first key."""
    try:
        return _fernet().rotate(ciphertext)
    except InvalidToken:
        raise CannotDecrypt("none of the keys opens it.") from None


def refusal() -> str:
    """Why the keys cannot be used, in words; "" when they can, or are made when the first is needed."""
    if not settings.VAULT_KEYS and not (Path(settings.HOME) / KEY_FILE).exists():
        return ""
    try:
        _fernet()
    except (BadKeys, OSError) as error:
        return str(error)
    return ""


def _fernet() -> MultiFernet:
    try:
        texts = settings.VAULT_KEYS or _file_keys(Path(settings.HOME) / KEY_FILE)
        return MultiFernet([Fernet(text) for text in texts])
    except ValueError:
        raise BadKeys(
            "HANDRAIL_VAULT_KEYS (or the key file) must hold Fernet keys (32 bytes as URL-safe base64), newest "
            "first, separated by commas."
        ) from None
    except OSError as error:
        raise BadKeys(f"The key file {KEY_FILE} in HANDRAIL_HOME cannot be read: {error.strerror}.") from None


def _file_keys(path: Path) -> list[str]:
    """The key file's lines, newest first; made on first use, readable by its owner only."""
    try:
        return path.read_text("ascii").split()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written apart and linked into place: two processes that start together agree on one key.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(Fernet.generate_key() + b"\n")
        opened.flush()
        os.fsync(opened.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text("ascii").split()
