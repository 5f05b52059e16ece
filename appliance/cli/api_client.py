"""The API as a host's own commands ask it: with the credential `admin-token`, which only root can read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from appliance.cli.host import host_settings
from appliance.errors import EX_NOPERM, EX_UNAVAILABLE, EX_USAGE, OperatorError
from appliance.secrets.credentials import ADMIN_TOKEN, CREDENTIALS_DIRECTORY
from appliance.secrets.rotating import read_newest
from appliance.settings import SETTINGS_FILE

_SECONDS: Final = 10.0
_REFUSED: Final = frozenset({400, 404, 409, 413, 415, 422})
"""What is wrong with what was asked for; any other failure is the service's."""


class ApiClient:
    """Asks the control service of this host.

    Raises OperatorError when this machine is no streaming host, or its secrets are not for this user.
    """

    def __init__(self, settings: Path = SETTINGS_FILE) -> None:
        self._url = host_settings(" ".join(sys.argv[1:]), settings).control_url
        try:
            readable = (CREDENTIALS_DIRECTORY / ADMIN_TOKEN).exists()
        except PermissionError:
            readable = False
        if not readable:
            raise OperatorError(
                f"{CREDENTIALS_DIRECTORY / ADMIN_TOKEN} cannot be read",
                exit_code=EX_NOPERM,
                hint=f"run it as root: sudo appliance {' '.join(sys.argv[1:])}",
            )
        self._token = read_newest(CREDENTIALS_DIRECTORY, ADMIN_TOKEN)

    def ask(self, method: str, *path: str, body: object = None, **query: str) -> Any:
        """Returns what `/api/v1/PATH…` answers, None when that is nothing.

        Raises OperatorError with the service's own words: EX_USAGE for what it refuses, else EX_UNAVAILABLE.
        """
        return self._ask(method, "/".join(["/api/v1", *map(_step, path)]), body, query)

    def live_streams(self) -> list[str]:
        """Returns the names of the streams that somebody publishes. Raises OperatorError."""
        return list(self._ask("GET", "/streams/active", None, {})["active_streams"])

    def _ask(self, method: str, path: str, body: object, query: dict[str, str]) -> Any:
        try:
            answer = httpx.request(
                method,
                self._url + path,
                json=body,
                params=query or None,
                headers={"Authorization": f"Bearer {self._token}"},
                timeout=_SECONDS,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            raise OperatorError(
                f"control service at {self._url}: {error}", exit_code=EX_UNAVAILABLE, hint=_WHY
            ) from error
        if answer.is_success:
            return answer.json() if answer.content else None
        raise OperatorError(
            _words(answer),
            exit_code=EX_USAGE if answer.status_code in _REFUSED else EX_UNAVAILABLE,
            hint=None if answer.status_code in _REFUSED else _WHY,
        )


_WHY: Final = "see why: systemctl status appliance-control.service; journalctl -u appliance-control"


def _step(text: str) -> str:
    """`text` as one step of a path, also where it is one that leads elsewhere (RFC 3986, section 5.2.4)."""
    return text.replace(".", "%2E") if text in {".", ".."} else quote(text, safe="")


def _words(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        errors = [f"{each['pointer']}: {each['detail']}" for each in problem.get("errors", ())]
        return "; ".join([str(problem["detail"]), *errors])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the control service answered with status {answer.status_code}"
