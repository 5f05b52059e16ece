"""Controller's half of ``python_release``: build the wheelhouse once, ship it where it is missing.

The options are documented in the module of the same name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from appliance.provision.wheelhouse import Wheelhouse, WheelhouseError


class ActionModule(ActionBase):
    """Ansible's entry point; one instance for each task and host."""

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the host what it runs; build and transfer only when that is something else.

        Raises
        ------
        AnsibleActionFail
            The wheelhouse cannot be built (no network, a hash that differs, no wheel for the host's Python).
        """
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = self._task.args
        try:
            house = Wheelhouse(
                checkout=Path(options["checkout"]),
                cache=Path(options["cache"]),
                lock=Path(options["lock"]),
                python=str(options["python"]),
                architecture=str(options["architecture"]),
            )
            arguments = {
                "release": house.release,
                "root": options["root"],
                "keep": options.get("keep", 3),
                "link": options["link"],
            }
            answer = self._module(arguments, task_vars)
            if answer.get("missing") and not self._task.check_mode and not answer.get("failed"):
                archive = house.build(self._display.display)
                remote = self._connection._shell.join_path(  # noqa: SLF001 - the way Ansible's plugins do it
                    self._make_tmp_path(), archive.name
                )
                self._transfer_file(str(archive), remote)
                answer = self._module({**arguments, "archive": remote, "sha256": house.sha256()}, task_vars)
        except WheelhouseError as error:
            raise AnsibleActionFail(str(error)) from error
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)  # noqa: SLF001 - as above
        result.update(answer)
        return result

    def _module(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name="python_release", module_args=arguments, task_vars=task_vars
        )
        return answer
