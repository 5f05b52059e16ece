"""The backend's last verdicts, for the time when it is silent (`callback_when_silent: last-known`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.state.valkey import PREFIX, State, translated

if TYPE_CHECKING:
    from appliance.names import StreamName

_VERDICT: Final = f"{PREFIX}verdict:"


class Verdicts:
    """The last verdict about each subject. Every method raises StateUnavailableError.

    Parameters
    ----------
    life_seconds
        How long one is remembered.
    """

    def __init__(self, state: State, life_seconds: float) -> None:
        self._state = state
        self._life_ms = round(life_seconds * 1000)

    async def remember(self, kind: str, stream: StreamName, who: str, status: int, said: str = "") -> None:
        """Notes that `status` was answered to a question of `kind` about `who` and `stream`, now.

        `said`: what came with it.
        """
        with translated():
            text = f"{status} {said}".rstrip()
            await self._state.client.set(_key(kind, stream, who), text, px=self._life_ms)

    async def recall(self, kind: str, stream: StreamName, who: str) -> tuple[int, str] | None:
        """Status and `said` of the last answer, None when that is too long ago or never was."""
        with translated():
            found = await self._state.client.get(_key(kind, stream, who))
        status, _, said = (found or "").partition(" ")
        return (int(status), said) if status.isascii() and status.isdigit() and len(status) == 3 else None


def _key(kind: str, stream: StreamName, who: str) -> str:
    return f"{_VERDICT}{kind}:{stream}:{who}"
