"""Issuing a view token: what may be wished for, and that nothing is given out which would be refused."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.control.view.tokens import ALL_STREAMS, TokenRefusedError, ViewToken, issue, read
from appliance.names import InvalidStreamNameError, parse_stream_name

if TYPE_CHECKING:
    from appliance.control.view.tokens import Network
    from appliance.secrets.token_keys import TokenKeys


class NotIssuedError(ValueError):
    """No such token can be issued; the message names what was wished for and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a token shall say. stream: a name or ALL_STREAMS; ip: an address or network, None for any."""

    stream: str
    seconds: float
    viewer: str | None = None
    session: str | None = None
    ip: str | None = None
    entitlement: str | None = None
    paid_seconds: float | None = None


def issue_checked(wish: Wish, keys: TokenKeys, *, now: float, max_seconds: float) -> tuple[ViewToken, str]:
    """Returns the token and its text, signed by the key of `keys` that signs now.

    `max_seconds`: how long one may hold. Raises NotIssuedError.
    """
    if wish.seconds > max_seconds:
        raise NotIssuedError(
            f"a token for {wish.seconds:g} s is refused; allowed are {max_seconds:g} (view_token_max_seconds)"
        )
    if wish.paid_seconds is not None and wish.entitlement is None:
        raise NotIssuedError("it was said for how long was paid, and not for what: name the entitlement")
    token = ViewToken(
        stream=_stream(wish.stream),
        expires=now + wish.seconds,
        viewer=wish.viewer,
        session=wish.session,
        network=None if wish.ip is None else _network(wish.ip),
        entitlement=wish.entitlement,
        paid_until=None if wish.paid_seconds is None else now + wish.paid_seconds,
    )
    try:
        text = issue(keys, token, now=now)
        read(text, keys, now=now, max_seconds=max_seconds)
    except (ValueError, TokenRefusedError) as error:
        reason = error.reason if isinstance(error, TokenRefusedError) else str(error)
        raise NotIssuedError(f"no such token can be issued: {reason}") from None
    return token, text


def path_of(token: ViewToken, text: str) -> str | None:
    """Where delivery plays with the token; None when it is for all streams."""
    return None if token.stream == ALL_STREAMS else f"/hls/t/{text}/{token.stream}.m3u8"


def _stream(text: str) -> str:
    if text == ALL_STREAMS:
        return text
    try:
        return parse_stream_name(text)
    except InvalidStreamNameError as error:
        raise NotIssuedError(str(error)) from None


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise NotIssuedError(
            f"the address {text!r} is refused; allowed is an address or a network, such as 192.0.2.0/24"
        ) from None
