"""One viewer of one stream: what delivery says of who asks, and what makes a session of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from appliance.digest import digest
from appliance.state.viewers import About

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

    from appliance.control.view.tokens import ViewToken
    from appliance.names import StreamName

_LONGEST: Final = 256
"""Characters of a user agent and of a referrer; delivery cuts them too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What delivery says of a viewer's request. Nothing of it is proved.

    `token` as it was shown, "" for none; `referrer` is without query and fragment, "" or "-" where there is
    none that may be told.
    """

    stream: StreamName
    address: str
    token: str = ""
    user_agent: str = ""
    referrer: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str], stream: StreamName) -> Self:
        """Reads what `headers_of` gave."""
        return cls(
            stream=stream,
            address=headers.get("x-real-ip", ""),
            token=headers.get("x-view-token", ""),
            user_agent=headers.get("x-view-user-agent", "")[:_LONGEST],
            referrer=headers.get("x-view-referrer", "")[:_LONGEST],
        )


def headers_of(scope: Scope) -> dict[str, str]:
    """The headers that delivery sets, and the others; each as it came first.

    Starlette's own look through all of them for each that is asked for, and most requests come here.
    """
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """A session. `subject` and `session` say whose it is and which, for counting.

    They bear a mark in front, so no viewer can take the name of a token for itself, nor a session. `id`
    stands for it towards operators and the backend.
    """

    id: str
    stream: StreamName
    subject: str
    session: str
    about: About

    @classmethod
    def of_token(cls, asked: Asked, token: ViewToken) -> Self:
        """A viewer is the token's `sub`, or the token where it has none.

        A session is its `sid`, or the token at one address.
        """
        subject = f"sub {token.viewer}" if token.viewer is not None else f"token {token.digest}"
        if token.session is not None:
            session = f"sid {token.session}"
        else:
            session = f"token {token.digest} {asked.address}"
        return cls._of(
            asked,
            subject,
            session,
            policy="token",
            viewer=token.viewer,
            session=token.session,
            token=token.digest,
            expires=token.expires,
        )

    @classmethod
    def unnamed(cls, asked: Asked, policy: str) -> Self:
        """Whom no token of ours names: a session is an address with one player, and what it showed."""
        token = digest(asked.token) if asked.token else None
        subject = f"address {asked.address}" if token is None else f"shown {token}"
        session = f"player {token or ''} {asked.address} {asked.user_agent}"
        return cls._of(asked, subject, session, policy=policy, viewer=None, session=None, token=token)

    @classmethod
    def _of(cls, asked: Asked, subject: str, session: str, /, **about: Any) -> Self:
        """`about`: what else is kept of it (About)."""
        return cls(
            id=digest("\0".join((asked.stream, subject, session)))[:16],
            stream=asked.stream,
            subject=subject,
            session=session,
            about=About(address=asked.address, user_agent=asked.user_agent, **about),
        )
