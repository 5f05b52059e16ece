"""Who may reach the checkout: tests that become another user need it open to them."""

from __future__ import annotations

import stat
from pathlib import Path


def open_to_others(path: Path) -> bool:
    """Tell whether every user may enter the folder at `path`."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))
