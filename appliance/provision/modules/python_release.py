"""Install one release from a wheelhouse that lies on this host, then switch to it.

Runs on the host, with the host's Python. The options are documented in ``python_release.yml``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

# Of the package python3-pip-whl, which python3-venv needs for itself.
WHEELS = "/usr/share/python-wheels"

# Written last: an environment without it is the rest of an install that was cut off.
COMPLETE = ".complete"


class InstallError(Exception):
    """The release cannot be installed; the present one stays."""


def installed(environment: Path) -> bool:
    """Say whether the release's environment is complete."""
    return (environment / COMPLETE).exists()


def install(module: AnsibleModule, environment: Path, archive: Path, sha256: str) -> None:
    """Make the virtual environment and install the archive's wheels, all of them checked by hash.

    Raises
    ------
    InstallError
        The archive is not what was sent, or one of the commands failed.
    """
    with archive.open("rb") as file:
        seen = hashlib.file_digest(file, "sha256").hexdigest()
    if seen != sha256:
        raise InstallError(f"{archive} has the checksum {seen}, expected {sha256}; run the playbook again")
    if environment.exists():
        shutil.rmtree(environment)
    environment.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix="python-release-", dir=module.tmpdir))
    try:
        with tarfile.open(archive) as wheels:
            wheels.extractall(staging, filter="data")
        python = str(environment / "bin" / "python3")
        run(module, ["/usr/bin/python3", "-m", "venv", "--without-pip", str(environment)])
        pip = [python, str(_pip() / "pip"), "--disable-pip-version-check", "install", "--quiet"]
        pip += ["--no-cache-dir", "--no-index", "--root-user-action=ignore", "--no-compile"]
        pip += ["--find-links", str(staging / "wheels"), "--require-hashes"]
        run(module, [*pip, "-r", str(staging / "requirements.txt")])
        # On all cores, where pip compiles on one.
        run(module, [python, "-m", "compileall", "-q", "-j", "0", str(environment / "lib")])
    except (InstallError, OSError, tarfile.TarError):
        shutil.rmtree(environment, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    (environment / COMPLETE).touch()


def _pip() -> Path:
    """Debian's pip, which runs from its wheel: a release has none of its own, and is made sooner."""
    wheels = sorted(Path(WHEELS).glob("pip-*.whl"))
    if not wheels:
        raise InstallError(
            f"no pip in {WHEELS}; `apt-get install --reinstall python3-pip-whl` brings it back"
        )
    return wheels[-1]


def run(module: AnsibleModule, command: list[str]) -> None:
    """Run a step.

    Raises
    ------
    InstallError
        It failed; the message has its last lines.
    """
    # A clean environment: pip's variables of whoever logged in must not bring an index back.
    status, out, err = module.run_command(
        ["/usr/bin/env", "-i", "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", *command]
    )
    if status != 0:
        said = "\n".join((err + out).strip().splitlines()[-12:])
        raise InstallError(f"{' '.join(command[:5])} … failed (exit {status}):\n{said}")


def switch(link: Path, environment: Path) -> None:
    """Point ``link`` to ``environment`` in one step."""
    unfinished = link.with_name(f".{link.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    unfinished.symlink_to(environment)
    unfinished.rename(link)


def remove_old(releases: Path, keep: int, present: Path) -> None:
    """Remove the oldest environments; the present one and ``keep - 1`` others stay."""
    others = [path for path in releases.iterdir() if path != present]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[max(keep - 1, 0) :]:
        shutil.rmtree(path, ignore_errors=True)


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "str", "required": True},
            "root": {"type": "path", "required": True},
            "link": {"type": "path", "required": True},
            "archive": {"type": "path"},
            "sha256": {"type": "str"},
            "keep": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    options = module.params
    environment = Path(options["root"], "releases", options["release"])
    link = Path(options["link"])
    missing = not installed(environment)
    present = str(link.readlink()) if link.is_symlink() else "none"
    changed = missing or present != str(environment)
    if changed and not module.check_mode and not (missing and options["archive"] is None):
        try:
            if missing:
                install(module, environment, Path(options["archive"]), options["sha256"])
            os.utime(environment)
            switch(link, environment)
            remove_old(environment.parent, options["keep"], environment)
        except (InstallError, OSError, tarfile.TarError) as error:
            module.fail_json(msg=f"{error}\nThe present release stays: {present}")
    module.exit_json(
        changed=changed,
        release=options["release"],
        missing=missing,
        diff={"before": f"{present}\n", "after": f"{environment}\n"},
    )


if __name__ == "__main__":
    main()
