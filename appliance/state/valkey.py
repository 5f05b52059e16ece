"""The connection to Valkey: a unix socket, a password from a credential, and short time limits.

Everything that can go wrong on the way becomes `StateUnavailableError`, so that callers decide once what
happens without shared state: new publishes are refused, running streams go on.
"""

from __future__ import annotations

import contextlib
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from valkey.asyncio import BlockingConnectionPool, UnixDomainSocketConnection, Valkey
from valkey.credentials import CredentialProvider
from valkey.exceptions import AuthenticationError, NoScriptError, ValkeyError

from appliance.state.batch import Batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.state.batch import Command

PREFIX: Final = "appliance:"
"""Every key of ours starts with it; Valkey may be shared with the customer's own programs."""

COMMAND_SECONDS: Final = 1.0
"""An answer that takes longer is not waited for. nginx waits 10 s for a verdict, an encoder's user less.

A question may take twice as long: it also waits for the batch ahead of it (`appliance.state.batch`).
"""

_POOL_SIZE: Final = 32
_POOL_WAIT_SECONDS: Final = 2


class StateUnavailableError(Exception):
    """Valkey did not answer, or refused (out of memory, loading, read-only, wrong password)."""

    @property
    def wrong_password(self) -> bool:
        """Whether it is that Valkey does not take the password."""
        cause = self.__cause__
        while cause is not None and not isinstance(cause, AuthenticationError):
            cause = cause.__cause__  # the library says that of a connection that cannot be made
        return cause is not None


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns every failure of Valkey inside the block into StateUnavailableError."""
    try:
        yield
    except (ValkeyError, OSError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise StateUnavailableError(f"Valkey: {reason}") from error


class State:
    """A pool of connections to one Valkey; it connects at first use and again after a loss.

    Parameters
    ----------
    socket
        Path of Valkey's unix socket.
    password
        Says what Valkey asks for (a text: always that); it is asked at each new connection. None when it asks
        for nothing.
    name
        What Valkey's CLIENT LIST shows of the connections.
    """

    def __init__(
        self, socket: Path, password: Callable[[], str] | str | None, *, name: str = "appliance-control"
    ) -> None:
        # Blocking: a burst of publishes waits for a connection of the pool instead of being refused.
        pool = BlockingConnectionPool(
            max_connections=_POOL_SIZE,
            timeout=_POOL_WAIT_SECONDS,
            connection_class=UnixDomainSocketConnection,
            path=str(socket),
            credential_provider=None if password is None else _Password(password),
            socket_timeout=COMMAND_SECONDS,
            socket_connect_timeout=COMMAND_SECONDS,
            decode_responses=True,
            # Strict decoding would stop in the middle of an answer, and the connection would be out of step.
            encoding_errors="replace",
            client_name=name,
        )
        self.client = Valkey(connection_pool=pool)
        self._batches = Batches(self.client)

    async def ask(self, *commands: Command) -> list[Any]:
        """Returns the answers to `commands`, in their order; other callers' may come in between.

        Raises StateUnavailableError.
        """
        with translated():
            return await self._batches.ask(*commands)

    async def ask_apart(self, *commands: Command) -> list[Any]:
        """As `ask`, on a connection of its own: for what is no decision, and must hold none of them up.

        Raises StateUnavailableError.
        """
        with translated():
            async with self.client.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(await pipe.execute())

    async def ping(self) -> None:
        """Raises StateUnavailableError unless Valkey answers."""
        with translated():
            await self.client.ping()

    async def close(self) -> None:
        """Closes every connection."""
        await self._batches.close()
        with contextlib.suppress(ValkeyError, OSError):
            await self.client.aclose()
            await self.client.connection_pool.disconnect()


class _Password(CredentialProvider):
    """What valkey-py asks when it connects."""

    def __init__(self, password: Callable[[], str] | str) -> None:
        self._password = password

    def get_credentials(self) -> tuple[str]:
        """The password alone: it is that of the user `default`."""
        return (self._password if isinstance(self._password, str) else self._password(),)


class Script:
    """One Lua file of `appliance/state/scripts`, run atomically by Valkey (EVALSHA, loaded when missing)."""

    def __init__(self, state: State, name: str) -> None:
        self._text = resources.files("appliance.state").joinpath("scripts", f"{name}.lua").read_text("utf-8")
        # Valkey's name for a script (EVALSHA), no protection of anything
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()
        self._state = state

    async def __call__(self, keys: list[str], arguments: list[str]) -> Any:
        """Runs the script; its answer is what the file's head comment says.

        Raises StateUnavailableError.
        """
        given: Command = (len(keys), *keys, *arguments)
        try:
            [answer] = await self._state.ask(("EVALSHA", self._sha, *given))
        except StateUnavailableError as error:
            if not isinstance(error.__cause__, NoScriptError):
                raise
            # A Valkey that was restarted knows no scripts; EVAL has it remember this one.
            [answer] = await self._state.ask(("EVAL", self._text, *given))
        return answer
