"""The files that hold a host's secrets.

They are made where they are used (`appliance.secrets.making`), below CREDENTIALS_DIRECTORY. systemd hands
each unit its own (LoadCredential=) in the directory that `$CREDENTIALS_DIRECTORY` names (systemd.exec(5)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.errors import EX_CONFIG, EX_NOPERM, OperatorError
from appliance.secrets.refused import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

CREDENTIALS_DIRECTORY: Final = Path("/etc/appliance/credentials")

VALKEY_PASSWORD: Final = "valkey-password"  # noqa: S105 - the name of a credential, not its value
READER_SECRET: Final = "rtmp-reader-secret"  # noqa: S105 - the name of a credential, not its value
CONTENT_KEYRING: Final = "content-keyring"
STREAM_KEY_PEPPER: Final = "stream-key-pepper"
ADMIN_TOKEN: Final = "admin-token"  # noqa: S105 - the name of a credential, not its value
VIEW_TOKEN_KEYS: Final = "view-token-keys"  # noqa: S105 - the name of a credential, not its value
WEBHOOK_SECRET: Final = "webhook-secret"  # noqa: S105 - the name of a credential, not its value

MASTER_KEY: Final = "master-key"
"""What operators, events and metrics call the keyring's newest generation."""

_RANDOM_BYTES: Final = 32


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


def drawn() -> str:
    """A fresh secret for a credential that is a line."""
    return secrets.token_hex(_RANDOM_BYTES)


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
