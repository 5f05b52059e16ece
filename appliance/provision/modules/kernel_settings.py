"""Keep kernel settings in one sysctl.d file and in the running kernel.

The options are documented in ``kernel_settings.yml``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

PROC_SYS = Path("/proc/sys")
CONGESTION_CONTROL = "net.ipv4.tcp_congestion_control"


def place(key: str) -> Path:
    """Return the file of a key (sysctl(8): dots are slashes)."""
    return PROC_SYS / key.replace(".", "/")


def running(key: str) -> str:
    """Return the running value with its blanks made single spaces."""
    return " ".join(place(key).read_text().split())


def hindrance(key: str, value: str, container: bool) -> str | None:
    """Say why ``key`` cannot be set here; ``None`` when it can."""
    path = place(key)
    if not path.exists():
        return "this kernel, or this network namespace, does not have it"
    if not os.access(path, os.W_OK):
        return "read-only here: it belongs to the machine"
    if container and key == CONGESTION_CONTROL:
        # outside the first network namespace a module is not loaded on demand
        available = running("net.ipv4.tcp_available_congestion_control").split()
        if value not in available:
            return f"the machine has not loaded {value}; it has {', '.join(available)}"
    return None


def file_text(settings: dict[str, dict[str, str]]) -> str:
    """Return the sysctl.d file: each key under its reason."""
    lines = ["# Kernel settings of a streaming host (sysctl.d(5)); `sysctl --system` loads them.", ""]
    for key, setting in settings.items():
        lines += [f"# {setting['reason']}", f"{key} = {setting['value']}", ""]
    return "\n".join(lines)


def write(path: Path, text: str) -> None:
    """Replace the file atomically, root:root 0644."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w") as draft:
        draft.write(text)
        os.fchmod(descriptor, 0o644)
    Path(name).replace(path)


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "settings": {"type": "dict", "required": True},
            "container": {"type": "bool", "required": True},
        },
        supports_check_mode=True,
    )
    path = Path(module.params["path"])
    wanted: dict[str, dict[str, str]] = {
        key: {"value": " ".join(str(setting["value"]).split()), "reason": setting["reason"]}
        for key, setting in module.params["settings"].items()
    }
    hindrances = {
        key: hindrance(key, setting["value"], module.params["container"]) for key, setting in wanted.items()
    }
    skipped = {key: cause for key, cause in hindrances.items() if cause is not None}
    if skipped and not module.params["container"]:
        module.fail_json(
            msg="\n".join(
                f"kernel setting {key} = {wanted[key]['value']}: {cause}" for key, cause in skipped.items()
            )
        )
    settable = {key: setting for key, setting in wanted.items() if key not in skipped}
    text = file_text(settable)
    before = path.read_text() if path.exists() else ""
    different = {key: running(key) for key, setting in settable.items() if running(key) != setting["value"]}
    if not module.check_mode:
        if text != before:
            write(path, text)
        for key, value_before in different.items():
            try:
                place(key).write_text(settable[key]["value"])
            except OSError as error:
                module.fail_json(
                    msg=f"kernel setting {key} = {settable[key]['value']} was refused: {error.strerror}; "
                    f"it stays {value_before}"
                )
    result: dict[str, Any] = {
        "changed": text != before or bool(different),
        "not_settable": skipped,
        "set": different,
    }
    if module._diff:  # noqa: SLF001 - Ansible has no public name for it
        running_before = "".join(f"{key} = {value}\n" for key, value in different.items())
        running_after = "".join(f"{key} = {settable[key]['value']}\n" for key in different)
        result["diff"] = [
            {"before_header": str(path), "after_header": str(path), "before": before, "after": text},
            {"before_header": "running kernel", "before": running_before, "after": running_after},
        ]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
