"""The files of the player page, for a host that reaches no package registry.

Our own lie in ``files/player``; hls.js comes from its npm package, which npm downloads once for each change
of the lock file and checks against the hash there. It is kept compressed, as the host serves it.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.provision.wheelhouse import locked

if TYPE_CHECKING:
    from collections.abc import Callable

OWN: Final = ("*.css", "*.html", "*.js", "*.svg")
_LIBRARY: Final = Path("hls.js", "dist", "hls.min.mjs")
_LIBRARY_NAME: Final = "hls.js"
"""As the page imports it; ours of that name only says where a package has it."""

_PACKAGE: Final = ("package.json", "package-lock.json", ".npmrc")
"""What npm goes by."""

_LAYOUT: Final = 1
_NAME_DIGITS: Final = 16


class PlayerError(Exception):
    """The library cannot be had; the message says why and what mends it."""


def player_files(source: Path, cache: Path, say: Callable[[str], object]) -> dict[str, Path]:
    """Return what a host serves below ``/watch/-/``: each file's name there, and where it lies here.

    Parameters
    ----------
    source
        Our own files, and the package with its lock.
    cache
        Folder for the library, ``.cache/player``; filled when it lacks what the lock names.
    say
        Called before a download.

    Raises
    ------
    PlayerError
        npm is missing, cannot reach its registry, or got something else than the lock names.
    """
    own = {path.name: path for pattern in OWN for path in sorted(source.glob(pattern))}
    del own[_LIBRARY_NAME]
    return {**own, f"{_LIBRARY_NAME}.gz": _library(source, cache, say)}


def _library(source: Path, cache: Path, say: Callable[[str], object]) -> Path:
    digest = hashlib.sha256(f"{_LAYOUT} {_LIBRARY}".encode())
    for name in _PACKAGE:
        digest.update(b"\0" + (source / name).read_bytes())
    made = cache / digest.hexdigest()[:_NAME_DIGITS] / f"{_LIBRARY_NAME}.gz"
    if made.exists():
        return made
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / ".lock"), tempfile.TemporaryDirectory(dir=cache) as temporary:
        if not made.exists():
            say("downloading hls.js for the player page")
            folder = Path(temporary)
            _install(source, folder)
            content = (folder / "node_modules" / _LIBRARY).read_bytes()
            draft = folder / made.name
            # The same bytes each time, so that a second run has nothing to change.
            draft.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
            made.parent.mkdir(exist_ok=True)
            draft.rename(made)
    return made


def _install(source: Path, folder: Path) -> None:
    for name in _PACKAGE:
        shutil.copyfile(source / name, folder / name)
    npm = shutil.which("npm")
    if npm is None:
        raise PlayerError(
            "npm is missing on the controller, which the player page's hls.js comes by: "
            "`files/bootstrap.sh player` installs it, `delivery_player: false` does without the page"
        )
    done = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise PlayerError(
            f"download of hls.js failed (npm's exit status {done.returncode}); the controller needs its npm "
            f"registry for this, once for each change of the lock file:\n{said}"
        )
