"""Keep a unit of nginx enabled, running, and running what is installed; spare those who publish.

The options are documented in ``nginx_unit.yml`` beside this file.
"""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ansible.module_utils.basic import AnsibleModule

PROPERTIES = "LoadState,ActiveState,UnitFileState,NeedDaemonReload,MainPID,ExecMainStartTimestamp"
STAT_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class Unit:
    """What systemd says of the unit."""

    loaded: bool
    active: bool
    enabled: bool
    needs_reload: bool
    pid: int
    started: float  # Unix time in seconds, 0 when it does not run


def parse_unit(text: str) -> Unit:
    """Return what ``systemctl show --timestamp=us+utc --property=…`` printed."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    started = 0.0
    if stamp := values.get("ExecMainStartTimestamp", ""):
        started = datetime.strptime(stamp, "%a %Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC).timestamp()
    return Unit(
        loaded=values.get("LoadState") == "loaded",
        active=values.get("ActiveState") in {"active", "reloading"},
        enabled=values.get("UnitFileState") == "enabled",
        needs_reload=values.get("NeedDaemonReload") == "yes",
        pid=int(values.get("MainPID", "0")),
        started=started,
    )


def stale(unit: Unit, files: list[str], proc: Path = Path("/proc")) -> list[str]:
    """Return why the running process is not what is installed; empty when it is."""
    reasons = []
    # The kernel marks the link of a process whose file has been replaced (proc_pid_exe(5)).
    if (proc / str(unit.pid) / "exe").readlink().name.endswith(" (deleted)"):
        reasons.append("the nginx binary was replaced")
    reasons += [
        f"{name} is younger than the process" for name in files if Path(name).stat().st_mtime > unit.started
    ]
    return reasons


def publishing(statistics: bytes) -> list[str]:
    """Return the names of the streams that have a publisher, from the RTMP module's XML."""
    root = ElementTree.fromstring(statistics)  # noqa: S314 -- our own nginx on loopback wrote it
    return [
        stream.findtext("name", "") for stream in root.iter("stream") if stream.find("publishing") is not None
    ]


def publishers_or_reason(url: str) -> str:
    """Return why the unit must be left alone (who publishes, or that it is not known), or an empty string."""
    if not url:
        return ""
    try:
        with urllib.request.urlopen(url, timeout=STAT_TIMEOUT_SECONDS) as answer:  # noqa: S310 -- loopback, ours
            names = publishing(answer.read())
    except (OSError, ElementTree.ParseError) as error:
        return f"it cannot be told who publishes ({url}: {error})"
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} being published" if names else ""


def systemctl(module: AnsibleModule, *arguments: str) -> str:
    """Run systemctl; a failure ends the module with the unit's last lines from the journal."""
    status, out, err = module.run_command(["systemctl", *arguments])
    if status:
        unit = module.params["unit"]
        journal = module.run_command(
            ["journalctl", "--no-pager", "--lines=12", "--output=cat", f"--unit={unit}"]
        )[1]
        module.fail_json(
            msg=f"systemctl {' '.join(arguments)} failed: {err.strip()}\nIts journal ends with:\n{journal}"
        )
    return str(out)


def converge(module: AnsibleModule, unit: Unit) -> dict[str, Any]:
    """Do what is missing and return the module's result."""
    name, only_refresh, check = module.params["unit"], module.params["only_refresh"], module.check_mode
    result: dict[str, Any] = {"changed": False, "reasons": [], "deferred": False}
    if not unit.enabled and not only_refresh:
        result["changed"] = True
        if not check:
            systemctl(module, "enable", "--quiet", name)
    if not unit.active:
        if not only_refresh:
            result["changed"] = True
            if not check:
                systemctl(module, "start", name)
        return result
    result["reasons"] = stale(unit, module.params["files"])
    if not result["reasons"]:
        return result
    why_not = publishers_or_reason(module.params["publishers_url"])
    if why_not and not module.params["interrupt_publishers"]:
        module.warn(
            f"{name} was not restarted although {' and '.join(result['reasons'])}: {why_not}. Run the "
            "playbook again when nobody publishes, or with -e '{\"ingest_interrupt_publishers\": true}' to "
            "cut them off."
        )
        return {**result, "deferred": True}
    if not check:
        systemctl(module, "restart", name)
    return {**result, "changed": True}


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "files": {"type": "list", "elements": "path", "default": []},
            "only_refresh": {"type": "bool", "default": False},
            "publishers_url": {"type": "str", "default": ""},
            "interrupt_publishers": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    show = ("show", "--timestamp=us+utc", f"--property={PROPERTIES}", module.params["unit"])
    unit = parse_unit(systemctl(module, *show))
    if unit.needs_reload and not module.check_mode:
        systemctl(module, "daemon-reload")
        unit = parse_unit(systemctl(module, *show))
    if not unit.loaded:
        if module.params["only_refresh"]:
            module.exit_json(changed=False, reasons=[], deferred=False)
        if not module.check_mode:
            module.fail_json(
                msg=f"systemd does not know {module.params['unit']}; is its file in /etc/systemd/system?"
            )
    module.exit_json(**converge(module, unit))


if __name__ == "__main__":
    main()
