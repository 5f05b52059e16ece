"""Controller's half of ``rendered_files``: render the templates, read the files, call the module once.

The options are documented in the module of the same name.
"""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.text.converters import to_bytes
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

TASK_KEYS = {"files", "directories", "diff_hidden"}
FILE_KEYS = {"template", "src", "vars", "dest", "state", "owner", "group", "mode", "validate", "notify"}
DIRECTORY_KEYS = {"path", "owner", "group", "mode"}
MODE = re.compile(r"0?[0-7]{3,4}")


class ActionModule(ActionBase):
    """Ansible's entry point; one instance for each task and host."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render, call the module, and notify the handlers of the files that changed.

        Raises
        ------
        AnsibleActionFail
            An unknown key, a missing template or file, an undefined variable, a mode that is no octal string,
            a place that is named twice.
        """
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        _refuse_unknown("rendered_files", arguments, TASK_KEYS)
        entries = [_checked_file(entry) for entry in arguments.get("files") or []]
        directories = [_checked_directory(entry) for entry in arguments.get("directories") or []]
        _refuse_twins([*(entry["dest"] for entry in entries), *(entry["path"] for entry in directories)])
        module_arguments = {
            "files": [self._file(entry, task_vars or {}) for entry in entries],
            "directories": directories,
            "diff_hidden": arguments.get("diff_hidden", False),
        }
        result.update(
            self._execute_module(
                module_name="rendered_files", module_args=module_arguments, task_vars=task_vars
            )
        )
        self._notify(entries, set(result.get("changed_files", ())))
        return result

    def _file(self, entry: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        sent = {
            key: entry[key]
            for key in ("dest", "owner", "group", "mode", "validate")
            if entry.get(key) is not None
        }
        if entry["state"] == "present":
            content = self._render(entry, task_vars) if entry.get("template") else self._read(entry["src"])
            sent["content"] = base64.b64encode(content).decode()
        return sent

    def _read(self, name: str) -> bytes:
        return Path(self._find("files", name)).read_bytes()

    def _find(self, folder: str, name: str) -> str:
        try:
            return str(self._find_needle(folder, name))
        except AnsibleError as error:
            raise AnsibleActionFail(f"rendered_files: {error}") from error

    def _render(self, entry: dict[str, Any], task_vars: dict[str, Any]) -> bytes:
        source = self._find("templates", entry["template"])
        places = [
            *task_vars.get("ansible_search_path", []),
            self._loader.get_basedir(),
            str(Path(source).parent),
        ]
        searchpath = [path for place in places for path in (str(Path(place, "templates")), place)]
        templar = self._templar.copy_with_new_env(
            searchpath=searchpath, available_variables={**task_vars, **(entry.get("vars") or {})}
        )
        try:
            text = templar.template(
                trust_as_template(self._loader.get_text_file_contents(source)),
                escape_backslashes=False,
                overrides={"trim_blocks": True, "lstrip_blocks": False},
            )
        except AnsibleError as error:
            raise AnsibleActionFail(f"{entry['template']} (for {entry['dest']}): {error}") from error
        rendered: bytes = to_bytes(
            "" if text is None else text, nonstring="simplerepr", errors="surrogate_or_strict"
        )
        return rendered

    def _notify(self, entries: list[dict[str, Any]], changed: set[str]) -> None:
        """Add the changed files' handlers; the executor reads the task's list after this plugin has run."""
        wanted = [
            name for entry in entries if entry["dest"] in changed for name in _as_list(entry.get("notify"))
        ]
        if wanted:
            self._task.notify = list(dict.fromkeys([*(self._task.notify or []), *wanted]))


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _refuse_unknown(what: str, given: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise AnsibleActionFail(
            f"{what}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )


def _checked_file(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict) or not str(entry.get("dest", "")).startswith("/"):
        raise AnsibleActionFail(f"rendered_files: a file needs `dest`, an absolute path; seen: {entry!r}")
    what = f"rendered_files: {entry['dest']}"
    _refuse_unknown(what, entry, FILE_KEYS)
    state = entry.get("state", "present")
    if state not in {"present", "absent"}:
        raise AnsibleActionFail(f"{what}: state {state!r}; present and absent are allowed")
    if state == "present" and bool(entry.get("template")) == bool(entry.get("src")):
        raise AnsibleActionFail(f"{what}: one of `template` and `src` is needed")
    if entry.get("validate") and "%s" not in entry["validate"]:
        raise AnsibleActionFail(f"{what}: validate {entry['validate']!r} lacks %s, the staged file's place")
    return {**entry, **_attributes(what, entry, "0644"), "dest": _normal(entry["dest"]), "state": state}


def _checked_directory(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict) or not str(entry.get("path", "")).startswith("/"):
        raise AnsibleActionFail(
            f"rendered_files: a directory needs `path`, an absolute path; seen: {entry!r}"
        )
    what = f"rendered_files: {entry['path']}"
    _refuse_unknown(what, entry, DIRECTORY_KEYS)
    return {**entry, **_attributes(what, entry, "0755"), "path": _normal(entry["path"])}


def _normal(path: str) -> str:
    """Return the path as the module will name it when it changed: without doubled slashes and dots."""
    return "/" + os.path.normpath(path).lstrip("/")


def _refuse_twins(places: list[str]) -> None:
    twins = sorted({place for place in places if places.count(place) > 1})
    if twins:
        raise AnsibleActionFail(
            f"rendered_files: {', '.join(twins)} is named twice; one entry for each place is allowed"
        )


def _attributes(what: str, entry: dict[str, Any], default_mode: str) -> dict[str, str]:
    mode = entry.get("mode", default_mode)
    if not isinstance(mode, str) or not MODE.fullmatch(mode):
        raise AnsibleActionFail(f'{what}: mode {mode!r}; a quoted octal string such as "0644" is allowed')
    return {"mode": mode, "owner": entry.get("owner", "root"), "group": entry.get("group", "root")}
