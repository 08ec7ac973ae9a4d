"""What may be a hub's address."""

from __future__ import annotations

from urllib.parse import urlsplit

from relay_core.errors import SettingsError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def check_url(url: str) -> str:
    """Check a hub's address and return it without its trailing slash.

    A plain http address must be loopback, so that the token never crosses a network in the clear.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"{url!r} is no address: {error}") from error
    plain = parts.path in {"", "/"} and not (parts.query or parts.fragment or parts.username)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not plain or port == 0:
        raise SettingsError(f"{url!r} is no hub address", fix="use http://127.0.0.1:4850")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise SettingsError(f"{url!r} would send the token in the clear", fix="use https://")
    return url.rstrip("/")
