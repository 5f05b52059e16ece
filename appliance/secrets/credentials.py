"""The files that hold a host's secrets.

They are made where they are used, below CREDENTIALS_DIRECTORY. systemd hands each unit its own
(LoadCredential=) in the directory that `$CREDENTIALS_DIRECTORY` names (systemd.exec(5)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from appliance.errors import EX_CONFIG, EX_NOPERM, OperatorError
from appliance.secrets.keyring import Keyring
from appliance.secrets.refused import malformed, missing
from appliance.secrets.token_keys import TokenKeys
from appliance.secrets.webhook_secret import new_webhook_secret, parse_webhook_secrets, with_given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CREDENTIALS_DIRECTORY: Final = Path("/etc/appliance/credentials")

VALKEY_PASSWORD: Final = "valkey-password"  # noqa: S105 - the name of a credential, not its value
READER_SECRET: Final = "rtmp-reader-secret"  # noqa: S105 - the name of a credential, not its value
CONTENT_KEYRING: Final = "content-keyring"
STREAM_KEY_PEPPER: Final = "stream-key-pepper"
ADMIN_TOKEN: Final = "admin-token"  # noqa: S105 - the name of a credential, not its value
VIEW_TOKEN_KEYS: Final = "view-token-keys"  # noqa: S105 - the name of a credential, not its value
WEBHOOK_SECRET: Final = "webhook-secret"  # noqa: S105 - the name of a credential, not its value

_RANDOM_BYTES: Final = 32
DEFAULT_GRACE: Final = timedelta(days=7)
"""How long a webhook secret is good after another one was given, where no setting says otherwise."""


def handed_over(unit: str) -> Path:
    """The directory of the credentials that systemd gave to this process, `unit` when it is started as meant.

    Raises OperatorError (EX_CONFIG) when there is none.
    """
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    if not given:
        raise OperatorError(
            "CREDENTIALS_DIRECTORY is not set, so there are no secrets to work with",
            exit_code=EX_CONFIG,
            hint=f"start it as a unit: systemctl start {unit}",
        )
    return Path(given)


def read_credential(path: Path) -> str:
    """The secret in `path`. Raises OperatorError (EX_CONFIG) when it is missing, empty or no text."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise missing(path, reason or "cannot be read") from None
    if not text:
        raise missing(path, "is empty")
    return text


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
    check: bool = False,
) -> Outcome:
    """Makes what is missing below `directory` (0700, files 0400); with `check` it only looks.

    A given `master` or `webhook_secret` (one that `parse_webhook_secret` accepts) is taken in beside what is
    there already; that webhook secret is good for `webhook_grace` more. An empty one says that the operator
    chooses none, None says nothing.

    What is there already and open to others than this user is closed to them. Two calls at the same time make
    the same secrets: the second one finds those of the first.
    Raises OperatorError when the directory cannot be written, or a file of keys cannot be read.
    """
    wanted: dict[str, Callable[[Path], str | None]] = {
        CONTENT_KEYRING: lambda path: _keyring(path, master),
        VALKEY_PASSWORD: _random,
        READER_SECRET: _random,
        STREAM_KEY_PEPPER: _random,
        ADMIN_TOKEN: _random,
        VIEW_TOKEN_KEYS: _token_keys,
        WEBHOOK_SECRET: lambda path: _webhook_secret(path, webhook_secret, webhook_grace),
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


def _keyring(path: Path, master: bytes | None) -> str | None:
    """The keyring's new text, None when it may stay."""
    if not path.exists():
        return Keyring.create(master).dumps()
    changed = Keyring.load(path).with_given(master) if master is not None else None
    return None if changed is None else changed.dumps()


def _token_keys(path: Path) -> str | None:
    """The text of fresh keys, None when there are some."""
    if not path.exists():
        return TokenKeys.create().dumps()
    TokenKeys.load(path)
    return None


def _webhook_secret(path: Path, given: str | None, grace: timedelta) -> str | None:
    """The credential's new text, None when it may stay."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if given is not None:
        try:
            present = parse_webhook_secrets(text) if text.strip() else None
        except ValueError as error:
            raise malformed(path, str(error)) from None
        changed = with_given(present, given, grace)
        if changed is not None:
            return changed.dumps()
    return None if text.strip() or given else new_webhook_secret() + "\n"


def drawn() -> str:
    """A fresh secret for a credential that is a line."""
    return secrets.token_hex(_RANDOM_BYTES)


def _random(path: Path) -> str | None:
    return None if path.exists() and path.stat().st_size else drawn() + "\n"


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Nobody else changes the secrets in `directory` meanwhile; waits for who does.

    Raises OperatorError when the directory is missing or closed to this user.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        denied = isinstance(error, PermissionError)
        raise OperatorError(
            f"credentials in {directory}: {error.strerror}",
            exit_code=EX_NOPERM if denied else EX_CONFIG,
            hint="run it as root" if denied else "make them: appliance credentials init",
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # ends with the descriptor, however this process ends
        yield
    finally:
        os.close(descriptor)


def replace_credential(path: Path, text: str) -> None:
    """Replaces `path` in one step: a reader sees the old secret or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
