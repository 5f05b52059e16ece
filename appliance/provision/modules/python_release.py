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
        run(module, ["/usr/bin/python3", "-m", "venv", str(environment)])
        pip = [str(environment / "bin" / "python3"), "-m", "pip", "--disable-pip-version-check", "install"]
        pip += ["--quiet", "--no-cache-dir", "--no-index", "--root-user-action=ignore"]
        wheel_folder = ["--find-links", str(staging / "wheels")]
        run(module, [*pip, *wheel_folder, "--require-hashes", "-r", str(staging / "requirements.txt")])
        run(module, [*pip, "--no-deps", *(str(wheel) for wheel in (staging / "own").glob("*.whl"))])
        run(module, [str(environment / "bin" / "python3"), "-m", "pip", "check"])
    except (InstallError, OSError, tarfile.TarError):
        shutil.rmtree(environment, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    (environment / COMPLETE).touch()


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
