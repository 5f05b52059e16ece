"""A host as the inventory has it, before anybody connects to it."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from appliance.errors import OperatorError
from appliance.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LARGEST: Final = 1 << 20
"""Bytes of a file beyond which it is none that a person wrote variables into."""

_BESIDE: Final = ("group_vars", "host_vars")


@dataclass(frozen=True)
class InventoryFile:
    """A file that the inventory is made of: its text, and its mode (chmod(1))."""

    path: Path
    text: str
    mode: int

    @property
    def everybody_reads(self) -> bool:
        """Whether any user of the controller may read it."""
        return bool(self.mode & stat.S_IROTH)


@dataclass(frozen=True)
class Planned:
    """One host of the inventory.

    Parameters
    ----------
    name
        Its name in the inventory.
    groups
        All groups of the inventory, and the hosts in each.
    values
        Variables by name, as templates will see them, the roles' defaults included.
    secrets
        Names of those variables whose values are secret.
    files
        What the inventory is made of.
    """

    name: str
    groups: Mapping[str, Sequence[str]]
    values: Mapping[str, Any]
    secrets: frozenset[str] = frozenset()
    files: tuple[InventoryFile, ...] = field(default=(), repr=False)

    def text(self, name: str) -> str:
        """A variable as text; empty where there is none."""
        value = self.values.get(name)
        return "" if value is None else str(value)

    def on(self, name: str) -> bool:
        """Whether a variable says yes."""
        return self.values.get(name) is True

    def number(self, name: str) -> float:
        """A variable that is a number; 0 where it is none."""
        value = self.values.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    def items(self, name: str) -> list[str]:
        """A variable that is a list of texts."""
        value = self.values.get(name)
        return [str(item) for item in value] if isinstance(value, list | tuple) else []

    def group(self, name: str) -> Sequence[str]:
        """The hosts of a group."""
        return self.groups.get(name, ())

    @property
    def is_origin(self) -> bool:
        """Whether streams are published to it."""
        return self.name in self.group("origins")

    @property
    def address(self) -> str:
        """The name or address that it is reached by; empty when it is this machine."""
        if self.text("ansible_connection") == "local":
            return ""
        return self.text("ansible_host") or self.name

    @cached_property
    def settings(self) -> Settings:
        """The settings that the host will have; the defaults where the inventory's are refused."""
        given = self.values.get("control_settings")
        try:
            return Settings.from_mapping(given if isinstance(given, dict) else {})
        except OperatorError:
            return Settings()  # playbooks/preflight.yml refuses them, and says why


def inventory_files(sources: Sequence[str]) -> tuple[InventoryFile, ...]:
    """The files below `sources`, as `--inventory` names them, and the variables beside those that are files.

    Binary files, programs' caches and what cannot be read are left out.
    """
    found = {path.resolve(): path for source in sources for path in _below(Path(source))}
    return tuple(file for path in sorted(found.values()) if (file := _read(path)) is not None)


def _below(source: Path) -> Iterator[Path]:
    if source.is_dir():
        yield from (path for path in source.rglob("*") if path.is_file())
    elif source.is_file():
        yield source
        for name in _BESIDE:
            yield from (path for path in (source.parent / name).rglob("*") if path.is_file())


def _read(path: Path) -> InventoryFile | None:
    try:
        found = path.stat()
        if found.st_size > _LARGEST:
            return None
        return InventoryFile(path, path.read_text(encoding="utf-8"), stat.S_IMODE(found.st_mode))
    except (OSError, UnicodeDecodeError):
        return None
