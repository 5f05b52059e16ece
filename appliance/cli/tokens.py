"""`appliance tokens`: view tokens, signed here by the host's own key; the control service is not asked."""

from __future__ import annotations

import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from appliance.cli.host import host_settings, viewers_url
from appliance.cli.state_client import with_state
from appliance.control.view.issuing import NotIssuedError, Wish, issue_checked, path_of
from appliance.control.view.policy import ViewPolicy, policy_of
from appliance.control.view.tokens import (
    ALL_STREAMS,
    MAX_LENGTH,
    TokenRefusedError,
    ViewToken,
    read,
    unverified,
)
from appliance.errors import EX_DATAERR, EX_NOPERM, EX_UNAVAILABLE, EX_USAGE, OperatorError
from appliance.media.stream_client import StreamClient
from appliance.names import InvalidStreamNameError, StreamName, parse_stream_name
from appliance.ops.rotation import Rotation
from appliance.output import console, span
from appliance.secrets.credentials import CREDENTIALS_DIRECTORY, VIEW_TOKEN_KEYS
from appliance.secrets.moment import holds
from appliance.secrets.rotating import Rotating
from appliance.secrets.token_keys import TokenKey, TokenKeys
from appliance.settings import SETTINGS_FILE, Settings
from appliance.state.registry import Registry
from appliance.state.valkey import State

app = typer.Typer(no_args_is_help=True, help="View tokens: who may watch what, and until when.")

SettingsOption = Annotated[Path, typer.Option(help="Settings file.")]
# Not looked at by typer: who may read what is told below.
DirectoryOption = Annotated[Path, typer.Option(readable=False, help="Where the secrets live.")]

_MEANINGS = {
    "iss": "issuer",
    "aud": "for",
    "stream": "stream",
    "sub": "viewer",
    "sid": "session",
    "ip": "address",
    "ent": "entitlement",
    "ent_exp": "paid until",
    "iat": "issued",
    "nbf": "not before",
    "exp": "expires",
}
_VERDICTS = {
    "token": "it lets in",
    "unknown": "it lets in",
    "open": "it lets in, as anybody is let in without it: the stream is open",
    "backend": "this host would take it, and is not asked: the stream's viewers are the backend's",
}
"""By the stream's policy; also where that could not be looked up."""

_TIMES = ("ent_exp", "iat", "nbf", "exp")


@app.callback()
def _group() -> None:
    """View tokens: who may watch what, and until when."""


@app.command("issue")
def issue_command(
    *,
    stream: Annotated[str, typer.Argument(help="The stream's name, or '*' (quoted) for all.")],
    viewer: Annotated[
        str | None, typer.Option(help="Who watches; sessions are counted for each viewer.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="The session; else each address is one.")] = None,
    minutes: Annotated[float, typer.Option(min=1 / 60, help="Until the token's end.")] = 60,
    ip: Annotated[str | None, typer.Option(help="The viewer's address or network; else any.")] = None,
    entitlement: Annotated[str | None, typer.Option(help="What was paid for.")] = None,
    paid_minutes: Annotated[
        float | None,
        typer.Option(
            min=1 / 60, max=43_200, help="How long it was paid for; else as long as the token holds."
        ),
    ] = None,
    settings: SettingsOption = SETTINGS_FILE,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print {token, url, page, expires}.")] = False,
) -> None:
    """Issue a view token, and the addresses that play with it: of the playlist and of the player page.

    Whoever has the token can watch: it is for one viewer, and for no log.
    """
    known, now = host_settings("tokens issue", settings), time.time()
    keys = _newest_keys(known, directory)
    wish = Wish(
        stream=stream,
        seconds=minutes * 60,
        viewer=viewer,
        session=session,
        ip=ip,
        entitlement=entitlement,
        paid_seconds=None if paid_minutes is None else paid_minutes * 60,
    )
    try:
        token, text = issue_checked(wish, keys, now=now, max_seconds=known.view_token_max_seconds)
    except NotIssuedError as error:
        raise OperatorError(str(error), exit_code=EX_USAGE) from None
    path = path_of(token, text)
    host = viewers_url(known)
    url = None if path is None else f"{host}{path}"
    page = None if path is None else f"{host}/watch/{token.stream}#{text}"
    if as_json:
        typer.echo(json.dumps({"token": text, "url": url, "page": page, "expires": int(token.expires)}))
        return
    typer.echo(f"token  {text}")
    if url is not None:
        typer.echo(f"watch  {url}")
        typer.echo(f"page   {page}")
    typer.echo(f"ends   {_shown(int(token.expires), now)}")
    if known.view_policy == "open" and not known.delivery_view_auth:
        typer.echo("note   view_policy is open: everybody may watch without it", err=True)


@app.command("show")
def show_command(
    *,
    stream: Annotated[str | None, typer.Option(help="The stream to watch; else the token's own.")] = None,
    entitlement: Annotated[
        str | None, typer.Option(help="What the stream wants paid; else as it is registered.")
    ] = None,
    ip: Annotated[str | None, typer.Option(help="The viewer's address; else it is not looked at.")] = None,
    settings: SettingsOption = SETTINGS_FILE,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print {accepted, status, reason, header, claims, policy, entitlement, not_known}."
        ),
    ] = False,
) -> None:
    """Explain the view token on standard input: what it says, whether it lets in, and why not.

    Exit status 65 when it would be refused. What the stream is registered with is looked up; what cannot be
    known is named.
    """
    known, keys, now = host_settings("tokens show", settings), _keys(directory), time.time()
    verifying = keys.valid(datetime.fromtimestamp(now, UTC))
    text = typer.get_binary_stream("stdin").read(MAX_LENGTH + 2).decode("ascii", "replace").strip()
    wanted = None if stream is None else _stream(stream)
    refused: TokenRefusedError | None = None
    policy: ViewPolicy | None = None
    unknown: list[str] = []
    header: dict[str, Any] = {}
    claims: dict[str, Any] = {}
    try:
        header, claims = unverified(text)
        token = read(text, verifying, now=now, max_seconds=known.view_token_max_seconds)
        what = wanted or (None if token.stream == ALL_STREAMS else StreamName(token.stream))
        policy, unknown = _policy(what, known, directory)
        token.permit(
            what or StreamName(ALL_STREAMS),
            now=now,
            needs_entitlement=known.view_needs_entitlement,
            entitlement=entitlement or (policy.entitlement if policy else None),
        )
        if ip is not None:
            token.permit_address(ip)
        unknown += _unknown(token, ip, what)
    except TokenRefusedError as error:
        refused = error
    if as_json:
        verdict = {"accepted": refused is None, "status": refused.status if refused else 204}
        reason = refused.reason if refused else None
        looked_up = {
            "policy": policy.name if policy else None,
            "entitlement": policy.entitlement if policy else None,
            "not_known": unknown,
        }
        said = {**verdict, "reason": reason, "header": header, "claims": claims, **looked_up}
        typer.echo(json.dumps(said))
    else:
        _print(header, claims, keys, now)
        if policy is not None:
            wants = "" if policy.entitlement is None else f", it wants {json.dumps(policy.entitlement)}"
            typer.echo(f"{'policy':<12} {policy.name}{wants}")
    if refused is not None:
        raise OperatorError(
            f"the token is refused with {refused.status}: {refused.reason}", exit_code=EX_DATAERR
        )
    if not as_json:
        typer.echo(_VERDICTS[policy.name if policy else "token"])
        for each in unknown:
            typer.echo(f"{'not known':<12} {each}")


def _policy(
    stream: StreamName | None, known: Settings, directory: Path
) -> tuple[ViewPolicy | None, list[str]]:
    """How `stream` may be watched, as far as it can be looked up, and what cannot be known of it."""
    if stream is None:
        return None, ["what its streams are registered with, and want paid; of one: --stream NAME"]
    try:
        registered = with_state(known, directory, lambda state: Registry(state).get(stream))
    except OperatorError as error:
        return None, [f"what {stream} is registered with, and wants paid: {error.message}"]
    policy = policy_of(registered, known)
    of_backend = "what the backend says of it, in whatever form its tokens are"
    return policy, [of_backend] if policy.name == "backend" else []


def _unknown(token: ViewToken, ip: str | None, stream: StreamName | None) -> list[str]:
    """What of a token that holds is looked at when somebody watches with it, and not here."""
    found = [] if token.network is None or ip is not None else ["where the viewer is: --ip ADDRESS"]
    sessions = "whether its session was ended, and how often its viewer watches at once"
    return [*found, f"{sessions}: appliance viewers {stream or 'NAME'}"]


def _print(header: dict[str, Any], claims: dict[str, Any], keys: TokenKeys, now: float) -> None:
    out = console()
    if header:
        kid = header.get("kid")
        key = keys.keys.get(kid) if isinstance(kid, str) else None
        # As JSON: a stranger's token must not move the cursor of who looks at it.
        out.print(
            f"{'key':<12} {json.dumps(kid)} ({_state(key, now)}), {json.dumps(header.get('alg'))}",
            soft_wrap=True,
        )
    for name, value in claims.items():
        shown = _shown(value, now) if name in _TIMES else json.dumps(value)
        out.print(f"{_MEANINGS.get(name, json.dumps(name)):<12} {shown}", soft_wrap=True)


def _state(key: TokenKey | None, now: float) -> str:
    if key is None:
        return "unknown here"
    if key.ends is not None and not holds(key.ends, datetime.fromtimestamp(now, UTC)):
        return f"retired, ended {_shown(key.ends.timestamp(), now)}"
    return "the one that signs" if key.retired is None else "retired"


def _shown(seconds: object, now: float) -> str:
    """A time of a token; what is none is shown as it stands there."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int | float) else None
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None:
        return json.dumps(seconds)
    away = moment.timestamp() - now
    return f"{moment:%Y-%m-%d %H:%M:%SZ} ({f'in {span(away)}' if away >= 0 else f'{span(-away)} ago'})"


def _stream(text: str) -> StreamName:
    try:
        return parse_stream_name(text)
    except InvalidStreamNameError as error:
        raise OperatorError(str(error), exit_code=EX_USAGE) from None


def _newest_keys(known: Settings, directory: Path) -> TokenKeys:
    """The keys of this host, or what another host has made of them since.

    Without Valkey those on disk sign, which is said on standard error. Raises OperatorError when what the
    other host made cannot be taken over: nobody would take a token under the keys before it for long.
    """
    keys = _keys(directory)

    async def take_over(state: State) -> Rotating:
        host = known.node or socket.gethostname()
        return await Rotation(directory, known, host, state, StreamClient()).take_over(VIEW_TOKEN_KEYS)

    try:
        newest = with_state(known, directory, take_over)
    except OperatorError as error:
        if error.exit_code != EX_UNAVAILABLE:
            raise
        typer.echo(f"note   the keys on disk sign, newer ones are not looked for: {error.message}", err=True)
        return keys
    return newest if isinstance(newest, TokenKeys) else keys


def _keys(directory: Path) -> TokenKeys:
    path = directory / VIEW_TOKEN_KEYS
    if (directory.exists() and not os.access(directory, os.X_OK)) or (
        path.exists() and not os.access(path, os.R_OK)
    ):
        raise OperatorError(
            f"user id {os.geteuid()} may not read the keys of this host",
            exit_code=EX_NOPERM,
            hint="run it as root",
        )
    return TokenKeys.load(path)
