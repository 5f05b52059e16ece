"""The guests' root file system as one ext4 image, made and changed without mounting anything."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import OperatorError
from appliance.lab import image
from appliance.lab.command import run
from appliance.lab.state import locked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.lab.guest import File

NAME = "disk.raw"
KERNEL = "vmlinuz"
INITRD = "initrd.img"

SIZE = "16G"
"""Size of the file system; a sparse file, of which only what is written takes room."""

MAKE = r"""
set -e
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir root
tar --extract --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*' --file - \
    --directory root
cp root/boot/vmlinuz-* vmlinuz
cp root/boot/initrd.img-* initrd.img
mke2fs -q -t ext4 -L root -E lazy_itable_init=1,nodiscard -d root disk.raw "$1" >&2
tar --create --sparse --file - disk.raw vmlinuz initrd.img
"""
"""Turns the image's tar on stdin into a tar of disk, kernel and initial RAM disk on stdout.

Runs as root or in a user namespace that maps all ids of a system; root there may not enter the folders
of the user outside, so nothing but the two streams is shared.
"""

PIPE = r"""
set -o pipefail
image=$1 out=$2
shift 2
"$@" <"$image" | tar --extract --sparse --no-same-owner --directory "$out"
"""


def ensure(images: Path, made: image.Recipe, say: image.Say) -> Path:
    """Return the folder with disk, kernel and initial RAM disk of an image, making them when missing.

    Raises:
        OperatorError: mmdebstrap or mke2fs failed.
    """
    folder = images / made.key / "vm"
    if folder.exists():
        return folder
    tar = image.ensure_tar(images, made, say)
    with locked(images / "lock", what="the image cache"):
        if not folder.exists():
            say("making the guests' disk from the image")
            draft = images / f".{made.key}.vm"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            # only mmdebstrap knows without root how to enter a user namespace with all the ids of a system
            helper = [] if os.geteuid() == 0 else ["mmdebstrap", "--unshare-helper"]
            make = [*helper, "sh", "-c", MAKE, "sh", SIZE]
            env = {**os.environ, "TMPDIR": str(draft)} if os.geteuid() == 0 else None
            run(["bash", "-c", PIPE, "bash", str(tar), str(draft), *make], env=env)
            folder.parent.mkdir(exist_ok=True)
            draft.rename(folder)
    return folder


def script(wanted: Mapping[str, File], sources: Mapping[str, str]) -> str:
    """Return the debugfs(8) commands that put files, owned by root, into an ext4 image.

    Args:
        wanted: path in the image → content and mode.
        sources: path in the image → name of the file with the content, without blanks.
    """
    lines = []
    for name, (_, mode) in wanted.items():
        parents = [str(parent) for parent in reversed(Path(name).parents) if str(parent) != "."]
        lines += [f"mkdir /{parent}" for parent in parents]
        if name.startswith("root/.ssh/"):
            lines.append("sif /root/.ssh mode 040700")
        lines += [f"rm /{name}", f"write {sources[name]} /{name}", f"sif /{name} mode 0{0o100000 | mode:o}"]
        lines += [f"sif /{name} {field} 0" for field in ("uid", "gid")]
    return "\n".join(lines) + "\n"


def write(disk: Path, wanted: Mapping[str, File]) -> None:
    """Put files into an unmounted ext4 image.

    Raises:
        OperatorError: a file did not arrive; debugfs itself always reports success.
    """
    with tempfile.TemporaryDirectory(dir=disk.parent) as folder:
        sources = {}
        for number, (name, (content, _)) in enumerate(wanted.items()):
            source = Path(folder) / str(number)
            source.touch(mode=0o600)
            source.write_text(content)
            sources[name] = str(number)
        (Path(folder) / "commands").write_text(script(wanted, sources))
        run(["debugfs", "-w", "-f", "commands", str(disk)], cwd=Path(folder))
    for name, (content, _) in wanted.items():
        if run(["debugfs", "-R", f"cat /{name}", str(disk)]) != content:
            raise OperatorError(f"debugfs could not write /{name} into {disk}")
