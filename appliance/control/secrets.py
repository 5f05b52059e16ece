"""The service's secrets, as systemd hands them over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.secrets.credentials import (
    CONTENT_KEYRING,
    VALKEY_PASSWORD,
    handed_over,
    read_credential,
    read_reader_secret,
    read_webhook_secrets,
)

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.secrets.webhook_secret import WebhookSecret


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the service must know and never show. `content_keyring` is a path: its reader parses it.

    `webhook_secrets` sign what the backend is sent, the newest first.
    """

    valkey_password: str = field(repr=False)
    reader_secret: str = field(repr=False)
    content_keyring: Path
    webhook_secrets: tuple[WebhookSecret, ...] = field(repr=False)

    @classmethod
    def load(cls, directory: Path | None = None) -> Secrets:
        """Reads the credentials from `directory`, or from $CREDENTIALS_DIRECTORY.

        Raises OperatorError (EX_CONFIG) naming the file that is missing, empty or malformed.
        """
        directory = directory or handed_over("appliance-control.service")
        return cls(
            valkey_password=read_credential(directory / VALKEY_PASSWORD),
            reader_secret=read_reader_secret(directory),
            content_keyring=directory / CONTENT_KEYRING,
            webhook_secrets=read_webhook_secrets(directory),
        )
