"""Folders of a lab and the names derived from checkout and lab name.

Two checkouts on one machine, and two labs of one checkout, must never touch each other's
interfaces or tables: every name the kernel sees carries `LabPaths.ident`, a hash of both.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import gettempdir

from appliance.errors import OperatorError

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
"""Host and lab names: a host name label (RFC 1123 section 2.1), short enough for file and unit names."""


def find_checkout(start: Path | None = None) -> Path:
    """Return the checkout this code runs for: the folder with `pyproject.toml` and the package.

    Args:
        start: where to look upwards from; this file first, then the working folder when None.

    Raises:
        OperatorError: no such folder.
    """
    starts = [start] if start else [Path(__file__).resolve(), Path.cwd()]
    for place in starts:
        for folder in (place, *place.parents):
            if (folder / "pyproject.toml").is_file() and (folder / "appliance" / "lab").is_dir():
                return folder
    raise OperatorError(
        "the lab belongs to a checkout of this project, and none was found here",
        hint="run it inside the checkout",
    )


def check_name(kind: str, name: str) -> str:
    """Return `name` when it may name a lab or a host.

    Raises:
        OperatorError: names the value and what is allowed.
    """
    if NAME.fullmatch(name) is None:
        raise OperatorError(
            f"{kind} name {name!r} is not allowed: lower-case letter first, then letters, digits, '-', "
            "at most 31 characters"
        )
    return name


@dataclass(frozen=True)
class LabPaths:
    """Where one lab keeps its files, and what it is called outside of them."""

    checkout: Path
    lab: str

    @cached_property
    def ident(self) -> str:
        """Eight hex digits that tell this lab from every other one on the machine."""
        text = f"{self.checkout.resolve()}\0{self.lab}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def folder(self) -> Path:
        """Everything the lab writes, except the image."""
        return self.checkout / ".lab" / self.lab

    @property
    def lock(self) -> Path:
        """Held by a run that changes the lab; outside `folder`, which comes and goes."""
        return self.checkout / ".lab" / f"{self.lab}.lock"

    @property
    def images(self) -> Path:
        """Cache of base images, shared by the labs of the checkout."""
        return self.checkout / ".cache" / "lab"

    @property
    def inventory(self) -> Path:
        """Ansible inventory of the lab's hosts."""
        return self.folder / "inventory.yml"

    @property
    def key(self) -> Path:
        """Private SSH key of the lab."""
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """Host keys of the lab's hosts."""
        return self.folder / "known_hosts"

    @property
    def control(self) -> Path:
        """Folder of the sockets of shared SSH connections: short, a socket's path has at most 107 bytes."""
        return Path(gettempdir()) / self.table

    @property
    def bridge(self) -> str:
        """Name of the bridge (an interface name has at most 15 characters)."""
        return f"lab-{self.ident}"

    @property
    def table(self) -> str:
        """Name of the nftables table, and the comment on every rule put elsewhere."""
        return f"lab_{self.ident}"

    def host(self, name: str) -> Path:
        """Folder of one host."""
        return self.folder / "hosts" / name

    def machine(self, index: int) -> str:
        """Name of host number `index` for its driver; `vb-<machine>` must fit an interface name."""
        return f"l{self.ident}h{index}"
