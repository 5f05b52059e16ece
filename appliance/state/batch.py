"""Questions to Valkey that come at the same moment travel together.

One question costs Python far more on the way (a connection of the pool, a write, a wake-up) than Valkey needs
for it. So while one batch is on its way, the questions that come meanwhile wait and are the next. With one
caller nothing waits; with many the service keeps up. Valkey runs a connection's commands in order, those of
one question one after the other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from valkey.exceptions import ConnectionError as ValkeyConnectionError
from valkey.exceptions import ResponseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valkey.asyncio import Valkey

Command = tuple[str | int | float, ...]
"""A command's name and its arguments."""

_Question = tuple["Sequence[Command]", "asyncio.Future[list[Any]]"]


class Batches:
    """The way of single commands to `client`'s Valkey."""

    def __init__(self, client: Valkey) -> None:
        self._client = client
        self._waiting: list[_Question] = []
        self._sender: asyncio.Task[None] | None = None

    async def ask(self, *commands: Command) -> list[Any]:
        """Returns the answers to `commands`, in their order; a ResponseError among them is raised.

        Raises ValkeyError.
        """
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), name="valkey batches")
        answers = await answer
        for each in answers:
            if isinstance(each, ResponseError):
                raise each
        return answers

    async def close(self) -> None:
        """Whoever waits is told that nobody will answer."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        _fail(self._waiting, _gone())
        self._waiting = []

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._send_one(batch)
        finally:
            self._sender = None

    async def _send_one(self, batch: Sequence[_Question]) -> None:
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for commands, _ in batch:
                    for command in commands:
                        pipe.execute_command(*command)
                answers = await pipe.execute(raise_on_error=False)
        except asyncio.CancelledError:
            _fail(batch, _gone())
            raise
        # Whatever it is belongs to those who asked; this task has nobody who would hear of it.
        except Exception as error:  # noqa: BLE001
            _fail(batch, error)
            return
        at = 0
        for commands, answer in batch:
            if not answer.done():  # the caller may have given up
                answer.set_result(answers[at : at + len(commands)])
            at += len(commands)


def _fail(batch: Sequence[_Question], error: Exception) -> None:
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(error)


def _gone() -> ValkeyConnectionError:
    return ValkeyConnectionError("the connection was closed")
