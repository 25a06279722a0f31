"""Where the command finds Handrail and the token: the environment, else what `handrail login` has kept."""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import urlsplit

import click

from handrail.cli.remote.errors import NotSignedIn, RemoteError

URL_VARIABLE = "HANDRAIL_URL"
TOKEN_VARIABLE = "HANDRAIL_TOKEN"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True)
class Credentials:
    """``url`` without a slash at its end."""

    url: str
    token: str


def credentials() -> Credentials:
    """Those of the environment, else those that were kept. RemoteError says how to get some."""
    kept = _kept()
    url = os.environ.get(URL_VARIABLE, "") or (kept.url if kept else "")
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token and kept is not None and checked_url(url) == kept.url:
        # A token goes only to the address for which it was kept.
        token = kept.token
    if not url or not token:
        what = "address" if not url else "token"
        raise NotSignedIn(
            f"There is no {what}. Run `handrail login`, or set {URL_VARIABLE} and {TOKEN_VARIABLE}."
        )
    return Credentials(checked_url(url), token.strip())


def path() -> Path:
    """The file, in the user's own configuration folder."""
    return Path(click.get_app_dir("handrail")) / "credentials.json"


def keep(found: Credentials) -> Path:
    """Write the file, readable by its owner alone from its first byte on."""
    place = path()
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A temporary file has the mode 0600 from its beginning.
    with NamedTemporaryFile("w", dir=place.parent, delete=False) as file:
        json.dump(asdict(found), file)
    Path(file.name).replace(place)
    return place


def forget() -> bool:
    """Delete the file; False if there was none."""
    try:
        path().unlink()
    except FileNotFoundError:
        return False
    return True


def checked_url(url: str) -> str:
    """The address without what stands after its path. RemoteError for one to which no token should be sent."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise RemoteError(f"{url!r} is no address such as https://handrail.example.")
    if parts.username is not None or parts.password is not None:
        raise RemoteError("The address has a name or password in it: only a token is used.")
    if parts.scheme == "http" and not _is_here(parts.hostname):
        raise RemoteError(f"{url} is not https: everybody on the way could read the token.")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _kept() -> Credentials | None:
    place = path()
    try:
        text = place.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotSignedIn(f"{place} cannot be read: {error.strerror}.") from error
    try:
        found = json.loads(text)
        return Credentials(str(found["url"]), str(found["token"]))
    except (ValueError, KeyError, TypeError) as error:
        raise NotSignedIn(f"{place} is damaged: run `handrail login` again.") from error
