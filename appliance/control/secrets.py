"""The service's secrets: files that systemd puts into `$CREDENTIALS_DIRECTORY` (systemd.exec(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from appliance.errors import EX_CONFIG, OperatorError

CREDENTIAL_VALKEY: Final = "valkey-password"
CREDENTIAL_READER: Final = "rtmp-reader-secret"
CREDENTIAL_KEYRING: Final = "content-keyring"
"""Names of the credentials, on disk below /etc/appliance/credentials and in the units."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the service must know and never show. `content_keyring` is a path: its reader parses it."""

    valkey_password: str = field(repr=False)
    reader_secret: str = field(repr=False)
    content_keyring: Path

    @classmethod
    def load(cls, directory: Path | None = None) -> Secrets:
        """Reads the credentials from `directory`, or from $CREDENTIALS_DIRECTORY.

        Raises OperatorError (EX_CONFIG) naming the file that is missing or empty.
        """
        if directory is None:
            given = os.environ.get("CREDENTIALS_DIRECTORY")
            if not given:
                raise OperatorError(
                    "CREDENTIALS_DIRECTORY is not set, so there are no secrets to serve with",
                    exit_code=EX_CONFIG,
                    hint="start it as a unit: systemctl start appliance-control.service",
                )
            directory = Path(given)
        return cls(
            valkey_password=_read(directory / CREDENTIAL_VALKEY),
            reader_secret=_read(directory / CREDENTIAL_READER),
            content_keyring=directory / CREDENTIAL_KEYRING,
        )


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise _missing(path, error.strerror or "cannot be read") from None
    if not text:
        raise _missing(path, "is empty")
    return text


def _missing(path: Path, reason: str) -> OperatorError:
    return OperatorError(
        f"credential {path}: {reason}", exit_code=EX_CONFIG, hint="make it: appliance credentials init"
    )
