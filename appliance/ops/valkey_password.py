"""A new password of Valkey, while it runs.

Valkey knows the SHA-256 of each password that is good (https://valkey.io/commands/acl-setuser). Its file of
users has the same line, which the role `valkey` writes; Valkey itself may not write it.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.state.valkey import translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.state.valkey import State

ACL_FILE: Final = Path("/etc/valkey/appliance.acl")
"""`_valkey_acl_file` of the role `valkey`; its password.sh writes the same line."""

_HASH: Final = re.compile(r" (#[0-9a-f]{64})(?= )")


async def allow(state: State, passwords: Sequence[str], file: Path) -> None:
    """From now on `passwords` are good too, beside those that are, also after a restart.

    None is taken away: somebody may hold one that a rotation which was cut short has left behind.

    Raises StateUnavailableError and OSError.
    """
    hashes = list(dict.fromkeys([*_hashes(passwords), *_present(file)]))
    _replace(file, hashes)
    await _set(state, hashes)


async def allow_only(state: State, passwords: Sequence[str], file: Path) -> None:
    """From now on `passwords` are the good ones, and no others; who is connected stays connected.

    Raises StateUnavailableError and OSError.
    """
    hashes = _hashes(passwords)
    _replace(file, hashes)
    # One command: at no moment is none of them good.
    await _set(state, ["resetpass", *hashes])


def _hashes(passwords: Sequence[str]) -> list[str]:
    return [f"#{hashlib.sha256(text.encode()).hexdigest()}" for text in passwords]


def _present(file: Path) -> list[str]:
    return _HASH.findall(file.read_text(encoding="ascii", errors="replace"))


async def _set(state: State, rules: list[str]) -> None:
    with translated():
        await state.client.execute_command("ACL", "SETUSER", "default", *rules)  # type: ignore[no-untyped-call]


def _replace(file: Path, hashes: list[str]) -> None:
    """Replaces `file` in one step, its owner, group and mode as they were."""
    text = f"user default on sanitize-payload {' '.join(hashes)} ~* &* +@all\n"
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
