"""Install all files of a role in one call: validate all, then replace all.

The action plugin of the same name has rendered the contents; they arrive as base64 on standard input.
The options are documented in ``rendered_files.yml``.
"""

from __future__ import annotations

import base64
import contextlib
import grp
import os
import pwd
import shlex
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule


class RefusedError(Exception):
    """A set that cannot be installed; nothing has been replaced."""


@dataclass(frozen=True)
class Wanted:
    """A path as it shall be; ``content`` is ``None`` for a directory and for a file to remove."""

    path: Path
    uid: int | None
    gid: int | None
    mode: int
    content: bytes | None = None
    validate: str | None = None
    directory: bool = False
    owners: str = ""

    @property
    def absent(self) -> bool:
        """Whether the file shall not be there."""
        return self.content is None and not self.directory


@dataclass(frozen=True)
class Change:
    """What differs between the host and the set for one path."""

    wanted: Wanted
    before: bytes | None
    attributes_before: str

    @property
    def content_differs(self) -> bool:
        """Whether the bytes differ (a directory has none)."""
        return not self.wanted.directory and self.before != self.wanted.content

    def diff(self, hidden: bool) -> dict[str, str]:
        """Return Ansible's diff of content and attributes; contents are left out when ``hidden``."""
        path = str(self.wanted.path)
        attributes = "" if self.wanted.absent else _attributes_text(self.wanted.owners, self.wanted.mode)
        shown_before, shown_after = "", ""
        if self.content_differs:
            shown_before = "(contents hidden, before)\n" if hidden else _text(self.before)
            shown_after = "(contents hidden, after)\n" if hidden else _text(self.wanted.content)
        return {
            "before_header": path,
            "after_header": path,
            "before": self.attributes_before + shown_before,
            "after": attributes + shown_after,
        }


def _attributes_text(owners: str, mode: int) -> str:
    return f"# {owners} {mode:04o}\n"


def _text(content: bytes | None) -> str:
    if content is None:
        return ""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"({len(content)} bytes that are not text)\n"


def _id(kind: str, name: str, path: Path, check_mode: bool) -> int | None:
    """Return the numeric id; in check mode ``None`` for a name that an earlier task would have created."""
    try:
        return pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
    except KeyError:
        if check_mode:
            return None
        raise RefusedError(f"{path}: the {kind} {name!r} does not exist on this host") from None


def _names(found: os.stat_result) -> str:
    owner, group = str(found.st_uid), str(found.st_gid)
    with contextlib.suppress(KeyError):
        owner = pwd.getpwuid(found.st_uid).pw_name
    with contextlib.suppress(KeyError):
        group = grp.getgrgid(found.st_gid).gr_name
    return f"{owner}:{group}"


def _wanted(entry: dict[str, Any], directory: bool, check_mode: bool) -> Wanted:
    path = Path(entry["path"] if directory else entry["dest"])
    content = entry.get("content")
    return Wanted(
        path=path,
        uid=_id("user", entry["owner"], path, check_mode),
        gid=_id("group", entry["group"], path, check_mode),
        mode=int(entry["mode"], 8),
        content=None if content is None else base64.b64decode(content),
        validate=entry.get("validate"),
        directory=directory,
        owners=f"{entry['owner']}:{entry['group']}",
    )


def compare(wanted: Wanted) -> Change | None:
    """Return what has to change at ``wanted.path``, ``None`` when it is as it shall be.

    Raises
    ------
    RefusedError
        Something of another kind stands there (a directory for a file, or the other way round).
    """
    try:
        found = wanted.path.lstat()
    except FileNotFoundError:
        return None if wanted.absent else Change(wanted, None, "")
    if stat.S_ISDIR(found.st_mode) != wanted.directory:
        kind = "is not a directory" if wanted.directory else "is a directory"
        raise RefusedError(f"{wanted.path} {kind}; remove it or name another path")
    regular = stat.S_ISREG(found.st_mode)
    before = wanted.path.read_bytes() if regular else None
    attributes = (
        _attributes_text(_names(found), stat.S_IMODE(found.st_mode))
        if regular or wanted.directory
        else "# link\n"
    )
    change = Change(wanted, before, attributes)
    same_attributes = (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (
        wanted.uid,
        wanted.gid,
        wanted.mode,
    )
    if not wanted.absent and same_attributes and not change.content_differs:
        return None
    return change


def make_directory(wanted: Wanted) -> None:
    """Create the directory, or give an existing one its owner and mode."""
    wanted.path.mkdir(mode=0o755, parents=True, exist_ok=True)
    os.chown(wanted.path, _known(wanted.uid), _known(wanted.gid))
    wanted.path.chmod(wanted.mode)


def _known(number: int | None) -> int:
    assert number is not None, "ids are only unknown in check mode"  # noqa: S101 - tells mypy
    return number


def validate(module: AnsibleModule, files: list[Wanted], changes: list[Change], hidden: bool) -> None:
    """Run the validators of the files whose content changes, on copies that lie as they will lie on the host.

    Raises
    ------
    RefusedError
        A validator did not exit with 0.
    """
    memory = "/run" if os.access("/run", os.W_OK) else None  # so that a secret is staged on no disk
    stage = Path(tempfile.mkdtemp(prefix="rendered-files-", dir=memory))
    try:
        for wanted in files:
            if wanted.content is not None:
                copy = stage / wanted.path.relative_to("/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(wanted.content)
        for change in changes:
            command = change.wanted.validate
            if command is None or not change.content_differs or change.wanted.absent:
                continue
            argv = shlex.split(
                command.replace("%s", shlex.quote(str(stage / change.wanted.path.relative_to("/"))))
            )
            status, out, err = module.run_command(argv)
            if status != 0:
                said = "(output hidden)" if hidden else (err + out).strip().replace(str(stage), "")
                raise RefusedError(
                    f"{change.wanted.path} was refused by `{command.replace('%s', str(change.wanted.path))}` "
                    f"(exit {status}), nothing was replaced: "
                    f"{said}"
                )
    finally:
        shutil.rmtree(stage)


def replace(changes: list[Change]) -> None:
    """Write every file beside its place, then move all into place; all of them or none.

    Only a crash between two renames can leave a part of the set: no file system renames two files at once.

    Raises
    ------
    OSError
        No room, no such folder, read-only, a directory in the way: every file is as it was.
    RefusedError
        The same, and a file could not be put back either; the message names it.
    """
    staged: list[tuple[Path, Wanted]] = []
    done: list[tuple[Path, Path | None]] = []
    try:
        for change in changes:
            if change.wanted.content is not None:
                _stage(change.wanted, change.wanted.content, staged)
        try:
            while staged:
                copy, wanted = staged[0]
                done.append((wanted.path, _aside(wanted.path)))
                copy.replace(wanted.path)
                del staged[0]
            for change in changes:
                if change.wanted.absent:
                    done.append((change.wanted.path, _aside(change.wanted.path)))
                    change.wanted.path.unlink(missing_ok=True)
        except OSError as error:
            _put_back(done, error)
            raise
        for _, before in done:
            if before is not None:
                before.unlink()
    finally:
        for copy, _ in staged:
            copy.unlink(missing_ok=True)


def _stage(wanted: Wanted, content: bytes, staged: list[tuple[Path, Wanted]]) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{wanted.path.name}.", dir=wanted.path.parent)
    staged.append((Path(name), wanted))
    with os.fdopen(descriptor, "wb") as copy:
        copy.write(content)
        os.fchown(descriptor, _known(wanted.uid), _known(wanted.gid))
        os.fchmod(descriptor, wanted.mode)
        copy.flush()
        os.fsync(descriptor)


def _aside(path: Path) -> Path | None:
    """Give what stands at ``path`` a second name and return that, ``None`` when there is nothing."""
    second = path.with_name(f".{path.name}.{os.getpid()}.before")
    second.unlink(missing_ok=True)
    try:
        os.link(path, second, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return second


def _put_back(done: list[tuple[Path, Path | None]], error: OSError) -> None:
    lost = []
    for path, before in reversed(done):
        try:
            if before is None:
                path.unlink(missing_ok=True)
            else:
                before.replace(path)
                # rename(2) does nothing when both names are the same file: the step was not taken yet
                before.unlink(missing_ok=True)
        except OSError as again:
            lost.append(f"{path} ({again.strerror})")
    if lost:
        raise RefusedError(
            f"{error.filename}: {error.strerror}; what was replaced before could not be put back: "
            f"{', '.join(lost)}. Mend the cause and run it again; then restart what reads these files"
        ) from error


def install(module: AnsibleModule) -> dict[str, Any]:
    """Bring the set onto the host and return the module's result."""
    hidden = bool(module.params["diff_hidden"])
    directories = [_wanted(entry, True, module.check_mode) for entry in module.params["directories"]]
    files = [_wanted(entry, False, module.check_mode) for entry in module.params["files"]]
    changes = [change for change in map(compare, directories + files) if change is not None]
    if changes and not module.check_mode:
        file_changes = [change for change in changes if not change.wanted.directory]
        validate(module, files, file_changes, hidden)
        for change in changes:
            if change.wanted.directory:
                make_directory(change.wanted)
        replace(file_changes)
    result: dict[str, Any] = {
        "changed": bool(changes),
        "changed_files": [str(change.wanted.path) for change in changes],
    }
    if module._diff:  # noqa: SLF001 - Ansible has no public name for it
        result["diff"] = [change.diff(hidden) for change in changes]
    return result


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict", "default": []},
            "directories": {"type": "list", "elements": "dict", "default": []},
            "diff_hidden": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
        no_log=True,  # the arguments carry contents: keep them out of the host's syslog
    )
    try:
        # an empty invocation: the arguments need not travel back, nor show at -vvv
        module.exit_json(invocation={}, **install(module))
    except RefusedError as refusal:
        module.fail_json(invocation={}, msg=str(refusal))
    except OSError as error:
        module.fail_json(invocation={}, msg=f"{error.filename or ''}: {error.strerror}; no file was replaced")


if __name__ == "__main__":
    main()
