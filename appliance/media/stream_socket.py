"""The door of a running stream for the operator: the socket /run/appliance-stream/NAME/control.sock.

One JSON object on a line is a request, one on a line the answer, and the connection may go on:

    {"verb": "key"}                          which content key is in use
    {"verb": "rotate"}                       a new one from the next segment on
    {"verb": "keyring", "keyring": TEXT}     a new keyring (`appliance.secrets.keyring`); its current master
                                             makes the key of the next segment
    {"verb": "reader", "secret": TEXT}       what the reader shows from its next connection on

    {"ok": true, "generation": 2, "key": {"kid": "2-…", "since": 1767322800.0}}
    {"ok": false, "error": "…"}

`generation` is that of the master which makes the next key; `key` is null before the first segment and
without encryption. Only root and the service's own user are heard (SO_PEERCRED, unix(7)). No answer and no
log line repeats what came in: it may be a keyring or a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from appliance.media.unix_server import unix_server
from appliance.secrets.json_file import MalformedKeysError
from appliance.secrets.keyring import Keyring
from appliance.secrets.rotating import is_reader_secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from appliance.names import StreamName

log = logging.getLogger(__name__)

CONTROL_SOCKET: Final = "control.sock"
LONGEST_LINE: Final = 256 * 1024
"""A keyring of a thousand generations has 130 kB."""

_SECONDS: Final = 5.0
"""How long a caller may take for a line; the operator's side waits for an answer for longer."""

_PEER: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid


class KeyUser(Protocol):
    """What the socket asks of the packager."""

    @property
    def content_key(self) -> tuple[str, float] | None:
        """Id of the key in use and the time (unix seconds) of the first segment under it."""

    def rotate_key(self) -> None:
        """A new key from the next segment boundary on, in all renditions."""

    def replace_keyring(self, keyring: Keyring) -> None:
        """Makes keys from `keyring` from the next segment boundary on."""


class _RefusedError(Exception):
    """What the caller is told."""


def socket_directory(stream: StreamName) -> Path | None:
    """Where systemd gave this process room for its socket (RuntimeDirectory=); None when it gave none."""
    given = os.environ.get("RUNTIME_DIRECTORY")
    return Path(given.partition(":")[0]) / stream if given else None


@contextlib.asynccontextmanager
async def listening(
    directory: Path,
    packager: KeyUser,
    keyring: Keyring | None,
    replace_reader_secret: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[None]:
    """Serves control.sock in `directory`, mode 0600, from the running event loop until the block is left.

    `keyring` is the one the packager began with, None without encryption; `replace_reader_secret` gets the
    reader's new secret. Raises OSError when the socket cannot be made.
    """
    door = _Door(packager, keyring, replace_reader_secret)
    async with unix_server(directory / CONTROL_SOCKET, 0o600, door.serve, limit=LONGEST_LINE):
        yield


class _Door:
    def __init__(
        self, packager: KeyUser, keyring: Keyring | None, replace_reader_secret: Callable[[str], None]
    ) -> None:
        self._packager = packager
        self._replace_reader_secret = replace_reader_secret
        self._generation = None if keyring is None else keyring.current

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection. It never raises: the stream does not end for an operator's mistake."""
        try:
            with contextlib.suppress(OSError, TimeoutError):
                if _may_ask(writer):
                    await self._answer_all(reader, writer)
        # Broad on purpose, and by its type only: the session ends the process on what a task lets through,
        # and the text of an unexpected error may hold a part of the request.
        except Exception as error:  # noqa: BLE001
            log.error("control socket: %s", type(error).__name__)  # noqa: TRY400 - no traceback, see above
        finally:
            writer.close()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(_SECONDS):
                    line = await reader.readline()
            except ValueError:
                answer: dict[str, Any] = {"ok": False, "error": f"a line has at most {LONGEST_LINE} bytes"}
                line = b""
            else:
                if not line:
                    return
                answer = self._answer(line)
            writer.write(json.dumps(answer).encode() + b"\n")
            async with asyncio.timeout(_SECONDS):
                await writer.drain()
            if not line:
                return

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            self._do(_parse(line))
        except _RefusedError as error:
            return {"ok": False, "error": str(error)}
        key = self._packager.content_key
        shown = None if key is None else {"kid": key[0], "since": key[1]}
        return {"ok": True, "generation": self._generation, "key": shown}

    def _do(self, request: dict[str, Any]) -> None:
        match request:
            case {"verb": "key"}:
                return
            case {"verb": "rotate"}:
                self._packager.rotate_key()
                log.info("an operator rotates the content key")
            case {"verb": "keyring", "keyring": str(text)}:
                if self._generation is None:
                    raise _RefusedError("this stream is not encrypted and takes no keyring")
                try:
                    keyring = Keyring.parse(text)
                except MalformedKeysError as error:
                    raise _RefusedError(f"the keyring is refused: {error}") from None
                self._packager.replace_keyring(keyring)
                self._generation = keyring.current
                log.info("an operator hands over a keyring; generation %d is current", keyring.current)
            case {"verb": "reader", "secret": str(secret)}:
                if not is_reader_secret(secret):
                    raise _RefusedError("a reader's secret has letters, digits, - and _ alone")
                self._replace_reader_secret(secret)
                log.info("an operator hands over a new secret of the reader")
            case _:
                raise _RefusedError("unknown request; known verbs: key, rotate, keyring, reader")


def _parse(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise _RefusedError("a request is a JSON object on a line") from None
    if not isinstance(request, dict):
        raise _RefusedError("a request is a JSON object on a line")
    return request


def _may_ask(writer: asyncio.StreamWriter) -> bool:
    peer: socket.socket = writer.get_extra_info("socket")
    _, user, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if user in {0, os.geteuid()}:
        return True
    log.warning("control socket: user %d is not heard", user)
    return False
