"""The wheels of one release of this project, for a host that reaches no package index.

A release is named by the hash of what it is made of: the lock file, our own sources, the host's Python. The
third parties' wheels are downloaded once for each lock file, each checked against the lock's hashes; our own
wheel is built without any network. Both go into one archive.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# glibc versions a wheel may ask for (PEP 600), newest first; Debian 13 has 2.41. pip does not derive the
# older ones from the newest when a platform is given.
_GLIBC = (41, 40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 28, 27, 26, 24, 17, 12, 5)
_LEGACY = {"x86_64": ("manylinux2014", "manylinux2010", "manylinux1"), "aarch64": ("manylinux2014",)}

# Below appliance/: what only a controller runs, so that a change there is no new release for the hosts.
_CONTROLLERS = ("lab/", "provision/", "ops/fleet/", "cli/lab.py", "cli/demo.py", "cli/fleet.py")

# Of the archive; another one than `python_release` expects may be in the cache, from a checkout of before.
_LAYOUT = 2

_NAME_DIGITS = 16
_ARCHIVES_KEPT = 5


class WheelhouseError(Exception):
    """The wheelhouse cannot be built; the message says what failed and what mends it."""


class Wheelhouse:
    """One release for one Python and one architecture.

    Parameters
    ----------
    checkout
        The project's folder; its ``pyproject.toml`` and ``appliance/`` make our wheel.
    cache
        Folder for downloads and archives, ``.cache/wheelhouse``.
    lock
        Requirements with hashes.
    python
        The host's Python, ``3.13``.
    architecture
        The host's machine as uname(2) names it.
    """

    def __init__(self, *, checkout: Path, cache: Path, lock: Path, python: str, architecture: str) -> None:
        self._checkout = checkout
        self._lock = lock
        self._python = python
        self._architecture = architecture
        self._folder = cache / f"cp{python.replace('.', '')}-{architecture}"
        self.release = self._name()
        self._archive = self._folder / "releases" / f"{self.release}.tar"

    def build(self, say: Callable[[str], object]) -> Path:
        """Return the archive, made now when it is not in the cache; several processes may ask at once.

        Raises
        ------
        WheelhouseError
            A download or the build failed.
        """
        self._archive.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._folder / ".lock"):
            if not self._archive.exists():
                wheels = self._third_party(say)
                say(f"building our own wheel for release {self.release}")
                self._pack(wheels)
        return self._archive

    def sha256(self) -> str:
        """Return the archive's checksum (hex)."""
        with self._archive.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _sources(self) -> list[Path]:
        package = self._checkout / "appliance"
        found = (
            path
            for path in package.rglob("*")
            if path.is_file()
            and path.suffix != ".pyc"
            and not path.relative_to(package).as_posix().startswith(_CONTROLLERS)
        )
        return [self._checkout / "pyproject.toml", *sorted(found)]

    def _name(self) -> str:
        digest = hashlib.sha256(f"{_LAYOUT} {self._python} {self._architecture}".encode())
        for path in (self._lock, *self._sources()):
            content = path.read_bytes()
            digest.update(f"\0{path.relative_to(self._checkout)}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:_NAME_DIGITS]

    def _third_party(self, say: Callable[[str], object]) -> Path:
        lock = hashlib.sha256(self._lock.read_bytes()).hexdigest()[:_NAME_DIGITS]
        wheels = self._folder / "wheels" / lock
        if wheels.exists():
            return wheels
        say(f"downloading the wheels of {self._lock.name} for Python {self._python} on {self._architecture}")
        wheels.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=wheels.parent) as staging:
            # pip's own configuration names the index; this project names none.
            _run(
                "download of the wheels",
                _pip("download", "--quiet", "--require-hashes", "--only-binary=:all:", "--no-deps")
                + ["--dest", staging, "--requirement", str(self._lock)]
                + ["--implementation", "cp", "--python-version", self._python.replace(".", "")]
                + [part for tag in self._platforms() for part in ("--platform", tag)],
            )
            Path(staging).chmod(0o755)
            Path(staging).rename(wheels)
            Path(staging).mkdir()  # what TemporaryDirectory wants to remove
        return wheels

    def _platforms(self) -> list[str]:
        newer = [f"manylinux_2_{minor}_{self._architecture}" for minor in _GLIBC]
        return newer + [f"{name}_{self._architecture}" for name in _LEGACY.get(self._architecture, ())]

    def _pack(self, wheels: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="appliance-wheel-") as temporary:
            # A copy: setuptools leaves build folders beside what it builds.
            source, own = Path(temporary, "source"), Path(temporary, "own")
            for path in self._sources():
                copy = source / path.relative_to(self._checkout)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            offline = ("--no-deps", "--no-index", "--no-build-isolation")
            _run(
                "build of our own wheel",
                _pip("wheel", "--quiet", *offline, "--wheel-dir", str(own), str(source)),
            )
            unfinished = self._archive.with_suffix(f".{os.getpid()}")
            with tarfile.open(unfinished, "w") as archive:
                for wheel in (*sorted(wheels.glob("*.whl")), *own.glob("*.whl")):
                    archive.add(wheel, f"wheels/{wheel.name}")
                requirements = Path(temporary, "requirements.txt")
                lines = [self._lock.read_text(), *(_requirement(wheel) for wheel in own.glob("*.whl"))]
                requirements.write_text("".join(lines))
                archive.add(requirements, "requirements.txt")
            unfinished.rename(self._archive)
        for old in sorted(self._archive.parent.glob("*.tar"), key=_age)[_ARCHIVES_KEPT:]:
            old.unlink()


def _requirement(wheel: Path) -> str:
    """The line that installs just this wheel (its name and version: PEP 427)."""
    name, version = wheel.name.split("-")[:2]
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def _age(path: Path) -> float:
    return -path.stat().st_mtime


def _pip(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]


def _run(what: str, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise WheelhouseError(
            f"{what} failed (exit {done.returncode}); the controller needs its Python package index "
            f"for this, once for each change of the lock file:\n{said}"
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, so that one process at a time fills a cache."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
