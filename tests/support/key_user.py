"""A stand-in for a stream's packager, as the operator's socket knows it."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.secrets.keyring import Keyring


@dataclass
class Stream:
    """What a stream's process has of keys: a key under the generation it was handed last."""

    keyring: Keyring
    content_key: tuple[str, float] | None = None

    def rotate_key(self) -> None:
        self.content_key = (self.keyring.new_key_id(), 0.0)

    def replace_keyring(self, keyring: Keyring) -> None:
        self.keyring = keyring
        self.rotate_key()
