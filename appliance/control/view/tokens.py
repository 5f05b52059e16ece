"""View tokens: JSON Web Tokens (RFC 7519) that say who may watch what, and until when.

Signed with HMAC-SHA256 by a key of `appliance.secrets.token_keys`, which the header's `kid` names. The claims
are `iss` "appliance", `aud` "view", `exp` and `iat`; `stream`, a name or "*" for all; and where wanted `nbf`,
`sub` (the viewer), `sid` (the session), `ip` (address or network), `ent` (what was paid for) and `ent_exp`
(until when). Whoever has a token can read what is in it; it is signed, not encrypted.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import jwt

from appliance.control.audit import untrusted
from appliance.digest import digest
from appliance.names import InvalidStreamNameError, StreamName, parse_stream_name, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.secrets.token_keys import TokenKeys

ALGORITHM: Final = "HS256"
"""Ours to choose; what a token says of itself decides nothing (RFC 8725, section 3.1)."""

ISSUER: Final = "appliance"
AUDIENCE: Final = "view"
ALL_STREAMS: Final = "*"

MAX_LENGTH: Final = 2048
"""Characters. Nothing longer is decoded."""

TOKEN_PATTERN: Final = r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"  # noqa: S105 - a form, not a token
"""The compact form (RFC 7515, section 3.1), as delivery looks for it in an address."""

MAX_CLAIM: Final = 128
"""Characters of a viewer, a session, an entitlement."""

LEEWAY_SECONDS: Final = 30.0
"""How far the clock of the host that issued a token may be ahead of ours."""

_TOKEN: Final = re.compile(TOKEN_PATTERN)
_HALF_CHARACTER: Final = re.compile("[\ud800-\udfff]")
_LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999; beyond it there is no time that could be shown."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TokenRefusedError(Exception):
    """The verdict no: an HTTP status, and the reason that only the log names."""

    def __init__(self, status: Literal[401, 402, 403], reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewToken:
    """What a token says. `expires` and `paid_until` are Unix seconds, `text` is the part that is signed.

    `stream` is a name or ALL_STREAMS; None elsewhere means that the token does not speak of it.
    """

    stream: str
    expires: float
    viewer: str | None = None
    session: str | None = None
    network: Network | None = None
    entitlement: str | None = None
    paid_until: float | None = None
    text: str = ""
    digest: str = field(init=False, repr=False, compare=False)
    """Stands for the token where the token itself must not be kept."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest(self.text))

    def permit(
        self, stream: StreamName, *, now: float, needs_entitlement: bool, entitlement: str | None = None
    ) -> None:
        """Raises TokenRefusedError unless the token is for `stream` (403), and paid for (402).

        `needs_entitlement`: it has to name one; `entitlement`: it has to name this one.
        """
        if self.stream not in {ALL_STREAMS, stream}:
            raise TokenRefusedError(403, f"the token is for {self.stream}")
        if self.entitlement is None and (needs_entitlement or entitlement is not None):
            raise TokenRefusedError(402, "the token names no entitlement")
        if entitlement not in {None, self.entitlement}:
            raise TokenRefusedError(
                402, f"the token is not for the entitlement {untrusted(entitlement or '')}"
            )
        if self.paid_until is not None and now >= self.paid_until:
            raise TokenRefusedError(402, f"the entitlement {untrusted(self.entitlement or '')} is over")

    def permit_address(self, address: str) -> None:
        """Raises TokenRefusedError (403) when the token is for other addresses than `address`."""
        if self.network is None:
            return
        try:
            seen = ipaddress.ip_address(address)
        except ValueError:
            raise TokenRefusedError(403, f"the viewer's address is {untrusted(address)}") from None
        # An IPv4 viewer of a socket for both families.
        mapped = seen.ipv4_mapped if isinstance(seen, ipaddress.IPv6Address) else None
        if (mapped or seen) not in self.network:
            raise TokenRefusedError(403, f"the token is for {self.network}")


def issue(keys: TokenKeys, token: ViewToken, *, now: float) -> str:
    """Signs `token`, with the key that signs at present.

    Raises ValueError when it would be longer than MAX_LENGTH.
    """
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "stream": token.stream,
        "iat": int(now),
        "exp": int(token.expires),
        "sub": token.viewer,
        "sid": token.session,
        "ip": None if token.network is None else str(token.network),
        "ent": token.entitlement,
        "ent_exp": None if token.paid_until is None else int(token.paid_until),
    }
    present = {name: value for name, value in claims.items() if value is not None}
    secret = keys.keys[keys.current].secret
    text = jwt.encode(present, secret, algorithm=ALGORITHM, headers={"kid": keys.current})
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the token would have {len(text)} characters; allowed are {MAX_LENGTH}")
    return text


def read(text: str, keys: TokenKeys, *, now: float, max_seconds: float) -> ViewToken:
    """What the token `text` says, once it is known to be ours and to hold now.

    `max_seconds`: how far ahead its end may be. Raises TokenRefusedError (401).
    """
    header = _header(text)
    kid = header.get("kid")
    key = keys.keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise _refused(f"the key {shorten(str(kid))} is unknown")
    if header.get("alg") != ALGORITHM:
        raise _refused(f"the algorithm is {shorten(str(header.get('alg')))}")
    try:
        claims = jwt.decode(
            text,
            key.secret,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            # The times are looked at below, by one clock and with our own bound.
            options={
                "require": ["iss", "aud", "exp", "stream"],
                "strict_aud": True,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise _refused(shorten(str(error))) from None
    expires = _check_times(claims, now, max_seconds)
    return ViewToken(
        stream=_stream(claims["stream"]),
        expires=expires,
        viewer=_text(claims, "sub"),
        session=_text(claims, "sid"),
        network=_network(claims),
        entitlement=_text(claims, "ent"),
        paid_until=_seconds(claims, "ent_exp"),
        text=text.rpartition(".")[0],
    )


def unverified(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as they stand in `text`, for people to look at: nothing of it is known to be true.

    Raises TokenRefusedError (401) when it is no token at all.
    """
    header = _header(text)
    try:
        claims = jwt.decode(text, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise _refused(shorten(str(error))) from None
    return header, claims


def _header(text: str) -> dict[str, Any]:
    if len(text) > MAX_LENGTH:
        raise _refused(f"the token has {len(text)} characters; allowed are {MAX_LENGTH}")
    if _TOKEN.fullmatch(text) is None:
        raise _refused("no token in the compact form")
    # By hand: the library would take the whole token apart for it, and once more to verify it. What is read
    # here only chooses the key; the library reads it again, and compares.
    segment = text.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, RecursionError):
        raise _refused("the header cannot be read") from None
    if not isinstance(header, dict):
        raise _refused("the header is no object")
    return header


def _check_times(claims: Mapping[str, Any], now: float, max_seconds: float) -> float:
    expires = _seconds(claims, "exp")
    if expires is None:
        raise _refused("it never expires")
    if now >= expires:
        raise _refused(f"it expired {now - expires:.0f} s ago")
    if expires > now + max_seconds + LEEWAY_SECONDS:
        raise _refused(f"it expires in {expires - now:.0f} s; allowed are {max_seconds:.0f}")
    for name in ("nbf", "iat"):
        begins = _seconds(claims, name)
        if begins is not None and begins > now + LEEWAY_SECONDS:
            raise _refused(f"it is not valid yet: {name} is {begins - now:.0f} s ahead")
    return expires


def _stream(claim: object) -> str:
    if claim == ALL_STREAMS:
        return ALL_STREAMS
    try:
        return parse_stream_name(claim if isinstance(claim, str) else "")
    except InvalidStreamNameError:
        raise _refused(f"stream is {shorten(str(claim))}") from None


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    # JSON may spell half a character (RFC 8259, section 8.2), which nobody could write down.
    if value is None or (
        isinstance(value, str) and 1 <= len(value) <= MAX_CLAIM and not _HALF_CHARACTER.search(value)
    ):
        return value
    raise _refused(f"{name} is no text of 1 to {MAX_CLAIM} characters")


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # A bool is an int to Python; NaN fails the comparison.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_SECOND:
        raise _refused(f"{name} is no time in seconds")
    return float(value)


def _network(claims: Mapping[str, Any]) -> Network | None:
    value = claims.get("ip")
    if value is None:
        return None
    try:
        # A number would be taken for an address as well.
        return ipaddress.ip_network(value if isinstance(value, str) else "", strict=False)
    except ValueError:
        raise _refused("ip is no address and no network") from None


def _refused(reason: str) -> TokenRefusedError:
    return TokenRefusedError(401, reason)
