"""The service's secrets: as systemd handed them over, until a rotation brings newer ones.

systemd's copy is fixed while the unit runs. What is rotated comes through Valkey into this object
(`appliance.control.followed`), and everybody asks it anew each time: no restart, nothing on disk to read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TypeVar

from appliance.secrets.credentials import (
    ADMIN_TOKEN,
    CONTENT_KEYRING,
    READER_SECRET,
    STREAM_KEY_PEPPER,
    VALKEY_PASSWORD,
    VIEW_TOKEN_KEYS,
    WEBHOOK_SECRET,
    handed_over,
)
from appliance.secrets.dated_secrets import DatedSecrets
from appliance.secrets.keyring import Keyring
from appliance.secrets.rotating import HELD, read_rotating
from appliance.secrets.token_keys import TokenKeys
from appliance.secrets.webhook_secret import signing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from appliance.secrets.rotating import Rotating
    from appliance.secrets.webhook_secret import WebhookSecret

T = TypeVar("T")


class Secrets:
    """What the service must know and never show.

    Parameters
    ----------
    keyring
        The master keys; another one comes with a restart (`appliance.ops.master_key`).
    held
        Those of HELD, by the name of their credential.
    """

    def __init__(self, keyring: Keyring, held: Mapping[str, Rotating]) -> None:
        self.keyring = keyring
        self._held = dict(held)

    @classmethod
    def load(cls, directory: Path | None = None) -> Self:
        """Reads the credentials from `directory`, or from $CREDENTIALS_DIRECTORY.

        Raises OperatorError (EX_CONFIG) naming the file that is missing, empty or malformed.
        """
        directory = directory or handed_over("appliance-control.service")
        return cls(
            Keyring.load(directory / CONTENT_KEYRING),
            {name: read_rotating(directory, name) for name in HELD},
        )

    def held(self, name: str) -> Rotating:
        """What the service has of the credential `name`."""
        return self._held[name]

    def take_over(self, name: str, newer: Rotating) -> None:
        """`newer` holds from now on."""
        self._held[name] = newer

    def stream_key_pepper(self) -> str:
        """What the digests of stream keys are made with; never another one."""
        return self._as(DatedSecrets, STREAM_KEY_PEPPER).newest.text

    def token_keys(self) -> TokenKeys:
        """The keys that verify view tokens now."""
        return self._as(TokenKeys, VIEW_TOKEN_KEYS).valid(datetime.now(UTC))

    def reader_secrets(self) -> tuple[str, ...]:
        """What a stream's own reader may show."""
        return self._texts(READER_SECRET)

    def admin_tokens(self) -> tuple[str, ...]:
        """What this host's own commands may show."""
        return self._texts(ADMIN_TOKEN)

    def valkey_password(self) -> str:
        """What Valkey is to be shown."""
        return self._as(DatedSecrets, VALKEY_PASSWORD).newest.text

    def webhook_secrets(self) -> tuple[WebhookSecret, ...]:
        """What requests to the backend are signed with, see `signing`."""
        return signing(self._as(DatedSecrets, WEBHOOK_SECRET), datetime.now(UTC))

    def _texts(self, name: str) -> tuple[str, ...]:
        return self._as(DatedSecrets, name).texts(datetime.now(UTC))

    def _as(self, kind: type[T], name: str) -> T:
        found = self._held[name]
        if not isinstance(found, kind):
            raise TypeError(f"{name} is no {kind.__name__}")
        return found
