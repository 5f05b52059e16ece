"""Making the secrets that a host lacks.

A rotating secret that is missing is the fleet's: what Valkey holds of it, sealed, is written. So it is with
the pepper of the stream keys, which never rotates. Only what nobody shares yet is drawn, and it stands in
Valkey before it is on disk, so that hosts which begin together have the same. So a host that joins after a
rotation, or has lost its files, begins with what is in use. What it draws takes the place of nothing: it has
no time, and is older than all that was rotated. While Valkey does not answer none is made.
"""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from appliance.errors import EX_NOPERM, OperatorError
from appliance.secrets.credentials import (
    ADMIN_TOKEN,
    CONTENT_KEYRING,
    READER_SECRET,
    STREAM_KEY_PEPPER,
    VALKEY_PASSWORD,
    VIEW_TOKEN_KEYS,
    WEBHOOK_SECRET,
    drawn,
    locked,
    replace_credential,
)
from appliance.secrets.dated_secrets import DatedSecrets
from appliance.secrets.keyring import Keyring
from appliance.secrets.rotating import HELD, read_rotating
from appliance.secrets.webhook_secret import with_given

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.secrets.rotating import Rotating

DEFAULT_GRACE: Final = timedelta(days=7)
"""How long a webhook secret is good after another one was given, where no setting says otherwise."""


class Fleet(Protocol):
    """What this host shares with others, and with itself before it lost its files. All of it is in Valkey.

    Both raise OperatorError when Valkey does not answer, or holds what others use and this host cannot open.
    """

    def known(self, name: str, present: Rotating | None) -> Rotating | None:
        """What goes before `present` (None: whatever there is); None when nothing does."""

    def agreed(self, name: str) -> Rotating:
        """What all have of `name`: what is there, else one that is drawn and stands there from now on."""


class Alone:
    """A host that shares nothing."""

    def known(self, name: str, present: Rotating | None) -> Rotating | None:  # noqa: ARG002
        """Nothing."""
        return None

    def agreed(self, name: str) -> Rotating:
        """One that is drawn."""
        return HELD[name].drawn(None)


class Outcome(NamedTuple):
    """What `make_missing` did: names of credentials, and the paths that others could enter or read."""

    made: list[str]
    kept: list[str]
    mended: list[str]


def make_missing(
    directory: Path,
    master: bytes | None,
    *,
    webhook_secret: str | None = None,
    webhook_grace: timedelta = DEFAULT_GRACE,
    fleet: Fleet | None = None,
    check: bool = False,
) -> Outcome:
    """Makes what is missing below `directory` (0700, files 0400); with `check` it only looks.

    A given `master` or `webhook_secret` (one that `parse_webhook_secret` accepts) is taken in beside what is
    there already; that webhook secret is good for `webhook_grace` more. An empty one says that the operator
    chooses none, None says nothing. `fleet` is asked for what is missing, and not with `check`.

    What is there already and open to others than this user is closed to them. Two calls at the same time make
    the same secrets: the second one finds those of the first.
    Raises OperatorError when the directory cannot be written, or a file of keys cannot be read, or as `fleet`
    does; what was made before that stays, and the same call goes on.
    """
    fleet = Alone() if fleet is None or check else fleet

    def shared(path: Path) -> str | None:
        if _is_there(path):
            read_rotating(path.parent, path.name)  # a malformed one is named, and not replaced
            return None
        return fleet.agreed(path.name).dumps()

    wanted: dict[str, Callable[[Path], str | None]] = {
        CONTENT_KEYRING: lambda path: _keyring(path, master),
        # Valkey's own: it opens the way to what the fleet has.
        VALKEY_PASSWORD: _random,
        READER_SECRET: shared,
        STREAM_KEY_PEPPER: shared,
        ADMIN_TOKEN: shared,
        VIEW_TOKEN_KEYS: shared,
        WEBHOOK_SECRET: lambda path: _webhook_secret(path, webhook_secret, webhook_grace, fleet),
    }
    outcome = Outcome([], [], [])
    try:
        if not check:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.nullcontext() if check else locked(directory):
            if _closed(directory, 0o700, check=check):
                outcome.mended.append(str(directory))
            for name, content in wanted.items():
                path = directory / name
                text = content(path)
                (outcome.kept if text is None else outcome.made).append(name)
                if text is not None and not check:
                    replace_credential(path, text)
                if _closed(path, 0o400, check=check):
                    outcome.mended.append(str(path))
    except PermissionError as error:
        raise OperatorError(
            f"credentials in {directory}: {error.strerror}", exit_code=EX_NOPERM, hint="run it as root"
        ) from None
    return outcome


def _closed(path: Path, mode: int, *, check: bool) -> bool:
    """Closes `path` to all but this user; whether it was open to others (with `check` it only looks)."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    if found.st_uid == os.geteuid() and not found.st_mode & 0o077:
        return False
    if not check:
        path.chmod(mode)
        os.chown(path, os.geteuid(), os.getegid())
    return True


def _is_there(path: Path) -> bool:
    return path.exists() and bool(path.read_bytes().strip())


def _keyring(path: Path, master: bytes | None) -> str | None:
    """The keyring's new text, None when it may stay."""
    if not path.exists():
        return Keyring.create(master).dumps()
    changed = Keyring.load(path).with_given(master) if master is not None else None
    return None if changed is None else changed.dumps()


def _random(path: Path) -> str | None:
    return None if _is_there(path) else drawn() + "\n"


def _webhook_secret(path: Path, given: str | None, grace: timedelta, fleet: Fleet) -> str | None:
    """The credential's new text, None when it may stay."""
    present = _lines(read_rotating(path.parent, path.name)) if _is_there(path) else None
    if present is not None and (given is None or with_given(present, given, grace) is None):
        return None
    # What another host has made of it meanwhile is good for its grace, also beside the one that is given now.
    base = _lines(fleet.known(path.name, present)) or present
    if base is None and not given:
        base = _lines(fleet.agreed(path.name))
    changed = base if given is None else with_given(base, given, grace) or base
    return None if changed is None else changed.dumps()


def _lines(found: Rotating | None) -> DatedSecrets | None:
    return found if isinstance(found, DatedSecrets) else None
