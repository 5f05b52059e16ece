"""Room for what is written: the media root's tmpfs, the disks."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.health.finding import Finding, critical, warning

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host

_FULL: Final = 0.97
_NEARLY: Final = 0.90
_MOST_NAMED: Final = 3


async def space(host: Host) -> list[Finding]:
    """Room on every file system that something of ours writes to, and the media root is a tmpfs."""
    return await asyncio.to_thread(_look_at_space, Path(host.settings.media_root))


def _look_at_space(media_root: Path) -> list[Finding]:
    mend = (
        f"see what takes it, files and all: du -xah {media_root} | sort -h | tail -n 20; remove what is no "
        "stream's; then raise origin_media_size or origin_media_inodes, or lower window_segments or the "
        "ladder's bitrates"
    )
    findings = judge_mount(media_root, Path("/proc/mounts").read_text())
    if not findings and media_root.exists():
        findings += judge_mode(media_root, stat.S_IMODE(media_root.stat().st_mode))
    full = judge_room(Room.of(media_root), "segments go early or are lost, players skip", mend)
    held = what_is_there(media_root) if full else ""
    findings += [replace(finding, seen=f"{finding.seen}; {held}") if held else finding for finding in full]
    seen = {media_root.stat().st_dev if media_root.exists() else None}
    for path, why in (
        (Path("/"), "packages and settings cannot be written"),
        (Path("/var/lib/valkey"), "Valkey cannot write its log, and takes no new publisher"),
        (Path("/var/log"), "the journal loses the newest entries"),
        (Path("/tmp"), "programs fail in odd ways"),  # noqa: S108 - looked at, not written to
        (Path("/run"), "systemd cannot start a unit"),
    ):
        if path.exists() and path.stat().st_dev not in seen:
            seen.add(path.stat().st_dev)
            findings += judge_room(
                Room.of(path), why, f"see what takes it: du -xah {path} | sort -h | tail -n 20"
            )
    return findings


def what_is_there(media_root: Path) -> str:
    """What takes the most room below the media root, in words: a stranger's file is seen by its name.

    Of each entry of the first level the bytes of its files, and how many files they are.
    """
    found = []
    try:
        for entry in media_root.iterdir():
            inside = [entry, *entry.rglob("*")] if entry.is_dir() and not entry.is_symlink() else [entry]
            found.append((sum(_size(path) for path in inside), len(inside), entry.name))
    except OSError:
        return ""
    mib = 1 << 20
    most = sorted(found, reverse=True)[:_MOST_NAMED]
    most += [one for one in sorted(found, key=lambda one: -one[1])[:1] if one not in most]
    told = (f"{name} ({size / mib:.1f} MiB, files: {number})" for size, number, name in most)
    return f"the most is in: {', '.join(told)}" if most else ""


def _size(path: Path) -> int:
    """Bytes that a file takes; 0 of one that went meanwhile."""
    try:
        return 512 * path.lstat().st_blocks
    except OSError:
        return 0


@dataclass(frozen=True, slots=True)
class Room:
    """A file system: bytes and files, as statvfs(3) counts those for programs without privilege."""

    path: Path
    size: int
    free: int
    files: int
    files_free: int

    @classmethod
    def of(cls, path: Path) -> Room:
        """That of `path`; of size 0 where there is none."""
        try:
            found = os.statvfs(path)
        except OSError:
            return cls(path, 0, 0, 0, 0)
        return cls(
            path,
            found.f_blocks * found.f_frsize,
            found.f_bavail * found.f_frsize,
            found.f_files,
            found.f_favail,
        )


def judge_room(room: Room, why: str, mend: str) -> list[Finding]:
    """What is wrong with the room on a file system."""
    findings = []
    mib = 1 << 20
    for what, size, free, unit in (
        ("", room.size, room.free, "MiB"),
        ("of files ", room.files, room.files_free, "files"),
    ):
        if size == 0:
            continue
        used, scale = 1 - free / size, mib if unit == "MiB" else 1
        if used >= _NEARLY:
            seen = f"{100 * used:.1f} % of {size // scale} {unit} used; allowed is less than 90 %"
            make = critical if used >= _FULL else warning
            findings.append(
                make(
                    f"{room.path} is {'' if used >= _FULL else 'nearly '}full {what}".strip(), seen, why, mend
                )
            )
    return findings


def judge_mode(media_root: Path, mode: int) -> list[Finding]:
    """What is wrong with the mode of the media root: the streams write there, their group reads."""
    if mode & 0o750 == 0o750:
        return []
    return [
        critical(
            f"{media_root} is closed",
            f"mode {mode:04o}; allowed is 2750",
            "streams cannot write there, or delivery cannot read: nobody watches",
            f"chmod 2750 {media_root}",
        )
    ]


def judge_mount(media_root: Path, mounts: str) -> list[Finding]:
    """What is wrong with what is mounted at the media root; `mounts` as in /proc/mounts (proc(5))."""
    found = [line.split() for line in mounts.splitlines()]
    kinds = [
        (words[2], words[3].split(",")) for words in found if len(words) > 3 and words[1] == str(media_root)
    ]
    unit = f"{str(media_root).strip('/').replace('/', '-')}.mount"
    if not kinds:
        return [
            critical(
                f"nothing is mounted at {media_root}",
                "no tmpfs there",
                "segments would go to the disk, or nowhere, and no stream's unit starts",
                f"systemctl start {unit}; see why: journalctl -u {unit}",
            )
        ]
    kind, options = kinds[-1]
    if kind != "tmpfs":
        why = "a disk's write latency adds to every part"
        return [warning(f"{media_root} is no tmpfs", f"it is {kind}", why, f"systemctl restart {unit}")]
    if "ro" in options:
        why = "no segment can be written"
        return [
            critical(f"{media_root} is read-only", "mounted ro", why, f"mount -o remount,rw {media_root}")
        ]
    return []
