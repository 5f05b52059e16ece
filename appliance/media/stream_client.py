"""Asking the streams that run on this host, over their sockets (`appliance.media.stream_socket`)."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from appliance.errors import EX_OSERR, OperatorError
from appliance.media.stream_socket import CONTROL_SOCKET, LONGEST_LINE
from appliance.names import StreamName, is_stream_name
from appliance.systemctl import SystemctlError, systemctl

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.secrets.keyring import Keyring

STREAMS_DIRECTORY: Final = Path("/run/appliance-stream")
"""Each stream's process has a directory here while it runs; of one that was killed it may be left."""

_START_SECONDS: Final = 10.0
"""How long a unit may take until its socket is there, on a busy host."""

_ANSWER_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05


class StreamSilentError(Exception):
    """A stream runs and does not answer as it should; the message says what was seen, and no secret."""


class NoStreamError(Exception):
    """The stream's unit does not run (any more)."""


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """What a stream says of its keys. `generation` None: it is not encrypted. `kid` None: no segment yet."""

    generation: int | None
    kid: str | None
    since: datetime | None


def running_units() -> set[StreamName]:
    """The streams whose unit runs or starts, as systemd says. Raises OperatorError when it says nothing."""
    asked = (
        "list-units",
        "--plain",
        "--no-legend",
        "stream@*.service",
        "--state=active,activating,reloading",
    )
    try:
        printed = systemctl(*asked, seconds=_ANSWER_SECONDS)
    except SystemctlError as error:
        raise OperatorError(
            f"systemd does not say which streams run: {error}",
            exit_code=EX_OSERR,
            hint="see why: systemctl list-units 'stream@*'",
        ) from None
    units = [line.split()[0] for line in printed.splitlines() if line.strip()]
    names = [unit.removeprefix("stream@").removesuffix(".service") for unit in units]
    return {StreamName(name) for name in names if is_stream_name(name)}


class StreamClient:
    """The streams of this host. Methods raise NoStreamError, StreamSilentError and PermissionError.

    Parameters
    ----------
    directory
        Where the streams have their sockets.
    units
        Asks which streams' units run or start.
    start_seconds
        How long a unit without a socket is waited for.
    """

    def __init__(
        self,
        directory: Path = STREAMS_DIRECTORY,
        *,
        units: Callable[[], set[StreamName]] = running_units,
        start_seconds: float = _START_SECONDS,
    ) -> None:
        self._directory = directory
        self._units = units
        self._start_seconds = start_seconds

    def running(self) -> list[StreamName]:
        """The streams whose unit runs or starts, by name."""
        return sorted(self._units())

    def key(self, stream: StreamName) -> KeyInUse:
        """Which key is in use."""
        return self._ask(stream, {"verb": "key"})

    def rotate(self, stream: StreamName) -> KeyInUse:
        """Has a new key from the next segment on; returns what is in use until then."""
        return self._ask(stream, {"verb": "rotate"})

    def hand_over(self, stream: StreamName, keyring: Keyring) -> KeyInUse:
        """Gives it `keyring`, whose current master makes the key of its next segment."""
        return self._ask(stream, {"verb": "keyring", "keyring": keyring.dumps()})

    def hand_over_reader_secret(self, stream: StreamName, secret: str) -> None:
        """Gives its reader a new secret, for its next connection."""
        self._ask(stream, {"verb": "reader", "secret": secret})

    def _ask(self, stream: StreamName, request: dict[str, Any]) -> KeyInUse:
        try:
            with self._connected(stream) as connection, connection.makefile("rwb") as channel:
                channel.write(json.dumps(request).encode() + b"\n")
                channel.flush()
                answer = json.loads(channel.readline(LONGEST_LINE))
            if answer["ok"] is not True:
                raise StreamSilentError(f"stream {stream} refused: {answer['error']}")
            return _key_in_use(answer)
        except (PermissionError, NoStreamError):
            raise
        except TimeoutError:
            raise StreamSilentError(f"stream {stream} did not answer within {_ANSWER_SECONDS:g} s") from None
        except OSError as error:
            raise StreamSilentError(f"stream {stream} does not answer: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise StreamSilentError(f"stream {stream} gave an answer that is none") from None

    def _connected(self, stream: StreamName) -> socket.socket:
        """A connection; waits while the unit starts."""
        path = self._directory / stream / CONTROL_SOCKET
        deadline = time.monotonic() + self._start_seconds
        while True:
            channel = socket.socket(socket.AF_UNIX)
            channel.settimeout(_ANSWER_SECONDS)
            try:
                channel.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError) as error:
                channel.close()
                if stream not in self._units():
                    raise NoStreamError(f"stream {stream} does not run on this host") from None
                if time.monotonic() > deadline:
                    raise StreamSilentError(f"stream {stream} has no socket: {error.strerror}") from None
                time.sleep(_POLL_SECONDS)
            except OSError:
                channel.close()
                raise
            else:
                return channel


def _key_in_use(answer: dict[str, Any]) -> KeyInUse:
    key = answer["key"]
    if key is None:
        return KeyInUse(answer["generation"], None, None)
    return KeyInUse(answer["generation"], str(key["kid"]), datetime.fromtimestamp(float(key["since"]), UTC))
