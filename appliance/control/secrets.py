"""The service's secrets, as systemd hands them over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.secrets.credentials import (
    ADMIN_TOKEN,
    CONTENT_KEYRING,
    STREAM_KEY_PEPPER,
    VALKEY_PASSWORD,
    VIEW_TOKEN_KEYS,
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
    """What the service must know and never show.

    `content_keyring` and `view_token_keys` are paths: their readers parse them. `webhook_secrets` sign what
    the backend is sent, the newest first.
    """

    valkey_password: str = field(repr=False)
    reader_secret: str = field(repr=False)
    content_keyring: Path
    view_token_keys: Path
    stream_key_pepper: str = field(repr=False)
    admin_token: str = field(repr=False)
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
            stream_key_pepper=read_credential(directory / STREAM_KEY_PEPPER),
            admin_token=read_credential(directory / ADMIN_TOKEN),
            view_token_keys=directory / VIEW_TOKEN_KEYS,
            webhook_secrets=read_webhook_secrets(directory),
        )
