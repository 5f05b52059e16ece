"""The Debian base image: made once by mmdebstrap, kept as a tar and unpacked beside it.

Its key is a hash of the recipe (release, packages, mirrors, options, certificates): a changed
recipe is another image. It holds nothing that a role should install: it is
the bare host an operator would start from, plus what Ansible needs to reach it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

from appliance.errors import OperatorError
from appliance.lab.apt_sources import machine_mirrors, machine_options
from appliance.lab.command import require, run
from appliance.lab.state import locked

Say = Callable[[str], None]

RELEASE = "trixie"
"""Code name of Debian 13, the platform of a streaming host."""

BASE_PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "polkitd", "libpam-systemd", "openssh-server", "python3",
    "python3-apt", "sudo", "iproute2", "nftables", "ca-certificates", "procps",
    "kmod", "iputils-ping", "netbase", "less",
)  # fmt: skip
"""What an installed Debian has and minbase lacks, as far as Ansible and the roles rely on it."""

CERTIFICATES = Path("/usr/local/share/ca-certificates")
"""Certificates the machine trusts beside Debian's: behind an inspecting proxy, https needs them."""

HOOK = r"""
set -e
rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/var/lib/dbus/machine-id
: > "$1"/etc/machine-id
chroot "$1" systemctl enable systemd-networkd.service ssh.service
chroot "$1" systemctl mask systemd-networkd-wait-online.service
chroot "$1" update-ca-certificates >/dev/null
"""
"""Ends every image: nothing in it may be shared by two hosts (host keys, machine id, names)."""

DPKG = (
    "force-unsafe-io",
    *(f"path-exclude=/usr/share/{name}/*" for name in ("doc", "info", "locale", "man")),
)
"""Options of dpkg(1), now and later: a host that lives for hours need not have each file of a package on the
disk before the next, nor what is only there to be read, which is nearly half of the files."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is in an image."""

    sources: tuple[str, ...]
    options: tuple[str, ...]
    certificates: tuple[tuple[str, str], ...] = ()
    """File name and SHA-256 of each additional certificate."""
    release: str = RELEASE
    packages: tuple[str, ...] = BASE_PACKAGES
    hook: str = HOOK
    dpkg: tuple[str, ...] = DPKG

    @property
    def key(self) -> str:
        """Twelve hex digits that name the image."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def recipe(extra_packages: tuple[str, ...] = ()) -> Recipe:
    """Return the recipe for this machine, with what a driver adds to it."""
    certificates = tuple(
        (file.name, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in sorted(CERTIFICATES.glob("*.crt"))
    )
    return Recipe(
        sources=tuple(machine_mirrors().sources(RELEASE)),
        options=tuple(machine_options()),
        certificates=certificates,
        packages=(*BASE_PACKAGES, *extra_packages),
    )


def _build(made: Recipe, target: Path, say: Say) -> None:
    """Run mmdebstrap; `target` appears only when it is complete."""
    require("mmdebstrap")
    say(f"building the Debian {made.release} base image {made.key} (once, about a minute)")
    draft = target.with_name(f".{target.name}.part")
    log = target.with_suffix(".log")
    work = target.with_name(".build")
    shutil.rmtree(work, ignore_errors=True)  # of a killed run
    env = dict(os.environ)
    if os.geteuid() == 0:
        work.mkdir()
        env["TMPDIR"] = str(
            work
        )  # what a killed run leaves is then found; without root the user namespace needs /tmp
    # killed with us, mmdebstrap removes its work; it would otherwise go on for nobody
    argv = [
        "setpriv",
        "--pdeathsig",
        "TERM",
        # as root, mmdebstrap makes every mount of its namespace private: in the machine's own, for good
        *(("unshare", "--mount", "--propagation", "slave") if os.geteuid() == 0 else ()),
        "mmdebstrap",
        "--variant=minbase",
        f"--include={','.join(made.packages)}",
    ]
    argv += [f"--aptopt={option}" for option in made.options]
    argv += [f"--dpkgopt={option}" for option in made.dpkg]
    if made.certificates:
        argv.append(f'--essential-hook=mkdir -p "$1"{CERTIFICATES}')
        argv += [
            f"--essential-hook=copy-in {CERTIFICATES / name} {CERTIFICATES}" for name, _ in made.certificates
        ]
    argv += [f"--customize-hook={made.hook}", "--format=tar", made.release, str(draft), *made.sources]
    began = monotonic()
    with (
        log.open("w") as record,
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=env,
        ) as process,
    ):
        for line in process.stderr or ():
            record.write(line)
            if line.startswith("I: ") and line.rstrip().endswith("..."):
                say(f"  {line[3:].strip()}  ({monotonic() - began:.0f} s)")
    if process.returncode != 0:
        draft.unlink(missing_ok=True)
        last = "\n".join(log.read_text().splitlines()[-12:])
        raise OperatorError(
            f"mmdebstrap failed with exit code {process.returncode}; the end of {log}:\n{last}"
        )
    shutil.rmtree(work, ignore_errors=True)
    draft.replace(target)


def ensure_tar(images: Path, made: Recipe, say: Say) -> Path:
    """Return the image as a tar file, building it when it is not in the cache.

    Args:
        images: cache folder.
        made: what the image holds.
        say: called with each line of progress.

    Raises:
        OperatorError: mmdebstrap failed or is missing.
    """
    tar = images / f"{made.key}.tar"
    if not tar.exists():
        with locked(images / "lock", what="the image cache"):
            if not tar.exists():
                _build(made, tar, say)
    return tar


def ensure_root(images: Path, made: Recipe, say: Say) -> Path:
    """Return the image unpacked, the read-only lower layer of the nspawn hosts (needs root)."""
    root = images / made.key / "root"
    if root.exists():
        return root
    tar = ensure_tar(images, made, say)
    with locked(images / "lock", what="the image cache"):
        if not root.exists():
            draft = images / f".{made.key}.part"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            run(["tar", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--file", str(tar),
                 "--directory", str(draft), "--exclude=./dev/*"])  # fmt: skip
            root.parent.mkdir(exist_ok=True)
            draft.rename(root)
    return root
