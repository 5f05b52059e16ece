"""The signing keys of view tokens as a file that may be replaced while a service runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from appliance.errors import OperatorError
from appliance.secrets.token_keys import TokenKeys

if TYPE_CHECKING:
    from pathlib import Path

_LOG: Final = logging.getLogger("appliance")

_Stamp = tuple[int, int, int]


class TokenKeyFile:
    """The keys in the file `path`, read again when it has been replaced. Blocks for a `stat`.

    Raises OperatorError (EX_CONFIG) at once when the file is missing or broken. One that breaks later is
    logged, and the keys of before stay in use: a mistake of the rotation must not turn every viewer away.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._keys = TokenKeys.load(path)

    def __call__(self) -> TokenKeys:
        """The keys that hold now."""
        stamp = _stamp(self._path)
        if stamp is not None and stamp != self._stamp:
            # the stamp is older than what is read: a change in between is found the next time
            self._stamp = stamp
            try:
                self._keys = TokenKeys.load(self._path)
            except OperatorError as error:
                _LOG.warning("view token keys", extra={"fields": {"reason": error.message}})
        return self._keys


def _stamp(path: Path) -> _Stamp | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_ino, seen.st_size
