"""A new password of Valkey, while it runs.

Valkey knows the SHA-256 of each password that is good (https://valkey.io/commands/acl-setuser). Its file of
users has the same line, which the role `valkey` writes; Valkey itself may not write it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.state.valkey import translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.state.valkey import State

ACL_FILE: Final = Path("/etc/valkey/appliance.acl")
"""`_valkey_acl_file` of the role `valkey`; its password.sh writes the same line."""


async def allow(state: State, passwords: Sequence[str], file: Path) -> None:
    """From now on `passwords` are the good ones, also after a restart; who is connected stays connected.

    Raises StateUnavailableError and OSError.
    """
    hashes = [f"#{hashlib.sha256(text.encode()).hexdigest()}" for text in passwords]
    _replace(file, f"user default on sanitize-payload {' '.join(hashes)} ~* &* +@all\n")
    with translated():
        # One command: at no moment is none of them good.
        await state.client.execute_command(  # type: ignore[no-untyped-call]
            "ACL", "SETUSER", "default", "resetpass", *hashes
        )


def _replace(file: Path, text: str) -> None:
    """Replaces `file` in one step, its owner, group and mode as they were."""
    before = file.stat()
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(text)
        os.fchown(opened.fileno(), before.st_uid, before.st_gid)
        os.fchmod(opened.fileno(), before.st_mode & 0o777)
        opened.flush()
        os.fsync(opened.fileno())
    temporary.replace(file)
