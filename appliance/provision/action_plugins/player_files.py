"""Name the files of the player page, as ``rendered_files`` takes them; no call to the host.

Task arguments:

``source``  folder on the controller with our own files and the npm package's lock (``files/player``)
``cache``   folder on the controller that keeps the downloaded library
``dest``    folder on the host

Returns ``files``, a list of ``src`` and ``dest``. See :mod:`appliance.provision.player`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from appliance.provision.player import PlayerError, player_files


class ActionModule(ActionBase):
    """Ansible's entry point; one instance for each task and host."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look into the cache, and fill it first where it lacks what the lock names.

        Raises
        ------
        AnsibleActionFail
            The library cannot be had.
        """
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        source, cache = Path(arguments["source"]).resolve(), Path(arguments["cache"]).resolve()
        try:
            found = player_files(source, cache, self._display.display)
        except PlayerError as error:
            raise AnsibleActionFail(str(error)) from error
        files = [{"src": str(path), "dest": f"{arguments['dest']}/{name}"} for name, path in found.items()]
        result.update(changed=False, files=files)
        return result
