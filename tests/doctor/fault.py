"""A fault of a host: how it is planted and mended, and what the doctor has to say of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault: shell scripts that plant and mend it, and what the first finding has to be."""

    name: str
    plant: str
    mend: str
    check: str
    """The check that has to find it, a regular expression."""
    words: str
    """What the finding has to say, a regular expression over what was found and seen."""
    seconds: float = 20
    """How long it may take to show: what hangs is noticed by the age of what it wrote last."""


def kept(path: str, change: str) -> tuple[str, str]:
    """Return scripts that change a file and bring it back, its time as well."""
    return f"cp -a {path} {path}.kept; {change}", f"mv {path}.kept {path}"


def changed_file(name: str, path: str, change: str, check: str, words: str, *, after: str = "") -> Fault:
    plant, mend = kept(path, change)
    return Fault(name, plant, f"{mend}; {after}", check, words)
