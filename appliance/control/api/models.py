"""What goes in and out of the API, as types: from them come the checks and the OpenAPI document."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from appliance.control.view.tokens import MAX_CLAIM
from appliance.names import STREAM_NAME_PATTERN
from appliance.settings import ViewPolicyName
from appliance.state.api_tokens import Scope
from appliance.state.registry import Limits


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"{error}; allowed is a network such as 192.0.2.0/24 or 2001:db8::/32") from None


_NETWORK = Field(
    max_length=64,
    description="In CIDR notation (RFC 4632, RFC 4291), without host bits.",
    examples=["192.0.2.0/24", "2001:db8::/32"],
)
Network = Annotated[str, AfterValidator(_network), _NETWORK]
Time = Annotated[str, Field(description="ISO 8601, UTC", examples=["2026-05-01T12:00:00.000+00:00"])]
Entitlement = Annotated[
    str,
    Field(min_length=1, max_length=MAX_CLAIM, description="What was paid for: the claim `ent` of a token."),
]
Note = Annotated[str, Field(max_length=200, description="For people; never a secret.")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StreamSpec(_Model):
    """What may be said of a stream.

    From where it may be published (`allow`, `deny`), what its publisher must keep to (`limits`), who may
    watch it (`view`; null for the host's setting `view_policy`) and what a viewer must have paid for
    (`entitlement`).
    """

    allow: Annotated[tuple[Network, ...], Field(max_length=100)] = ()
    deny: Annotated[tuple[Network, ...], Field(max_length=100)] = ()
    limits: Limits = Limits()
    view: ViewPolicyName | None = None
    entitlement: Entitlement | None = None


class Stream(_Model):
    """A registered stream; `publisher` is None while nobody publishes it."""

    name: Annotated[str, Field(pattern=STREAM_NAME_PATTERN)]
    created_at: Time
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    limits: Limits
    view: ViewPolicyName | None
    entitlement: str | None
    publisher: Publisher | None = None


class Publisher(_Model):
    """Who publishes a stream now: since when, from where, into which host, by which key (empty: none)."""

    started_at: Time
    client_ip: str
    host: str
    key_id: str


class StreamPage(_Model):
    """Streams in the order of their names; `next` is the `after` of the next page, None on the last."""

    items: list[Stream]
    next: str | None


class KeySpec(_Model):
    """What may be said of a new key: how long it lets publishers in, and what it is for."""

    expires_in_seconds: Annotated[int, Field(gt=0, le=10 * 366 * 86_400)] | None = None
    note: Note = ""


class Key(_Model):
    """A stream key, without its secret. `over` says in words why it lets nobody in, None while it does."""

    id: str
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    note: str
    over: str | None


class NewKey(Key):
    """A new stream key; this is the only time that `key` is shown: `rtmp://HOST/live/STREAM?key=KEY`."""

    key: str


class KeyList(_Model):
    """The keys of a stream, the oldest first."""

    items: list[Key]


class BanItem(_Model):
    """Who may not publish, and for how many seconds more."""

    who: str
    seconds: float


class BanList(_Model):
    """The bans, the one that ends first at the head."""

    items: list[BanItem]


class ViewerItem(_Model):
    """A session that was seen within the last 30 s.

    `viewer` and `session` are what its token, or the backend, names; `ends_at`: of that token.
    """

    id: str
    viewer: str | None
    session: str | None
    client_ip: str
    user_agent: str
    policy: str
    since: Time
    seen_at: Time
    ends_at: Time | None


class ViewerPage(_Model):
    """Viewers in the order of their ids; `next` is the `after` of the next page, None on the last.

    `total`: how many there are on all pages.
    """

    items: list[ViewerItem]
    total: int
    next: str | None


class ViewTokenSpec(_Model):
    """What a view token shall say: for which stream (`*`: all), for whom, until when, from where.

    `viewer`: sessions are counted for each; `session`: else each address is one; `entitlement`: what was paid
    for, and `paid_seconds` for how long, else for as long as the token holds.
    """

    stream: Annotated[str, Field(max_length=64)]
    viewer: Annotated[str, Field(min_length=1, max_length=MAX_CLAIM)] | None = None
    session: Annotated[str, Field(min_length=1, max_length=MAX_CLAIM)] | None = None
    expires_in_seconds: Annotated[int, Field(gt=0, le=2_592_000)] = 3600
    ip: Annotated[str, Field(max_length=64, examples=["192.0.2.7"])] | None = None
    entitlement: Entitlement | None = None
    paid_seconds: Annotated[int, Field(gt=0, le=2_592_000)] | None = None


class NewViewToken(_Model):
    """A view token, kept nowhere; `path` plays with it on any host of the site, null for all streams."""

    token: str
    path: str | None
    expires_at: Time


class TokenSpec(_Model):
    """What a new bearer token allows, and for how long."""

    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    expires_in_seconds: Annotated[int, Field(gt=0, le=10 * 366 * 86_400)] | None = None
    note: Note = ""


class Token(_Model):
    """A bearer token, without its secret."""

    id: str
    scopes: tuple[Scope, ...]
    note: str
    created_at: Time
    expires_at: Time | None


class NewToken(Token):
    """A new bearer token; this is the only time that `token` is shown."""

    token: str


class TokenList(_Model):
    """The bearer tokens, the oldest first."""

    items: list[Token]


Stream.model_rebuild()
