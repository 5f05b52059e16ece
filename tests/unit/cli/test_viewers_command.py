"""`appliance viewers` as an operator calls it, with a stand-in for the API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from appliance.cli import stream_registry, streams, viewers
from appliance.errors import EX_USAGE, OperatorError

VIEWER = {
    "id": "5f0c2a9d13b74e66",
    "viewer": "anna",
    "session": None,
    "client_ip": "192.0.2.7",
    "user_agent": "play\x1b[2Jer",
    "policy": "token",
    "since": "2026-05-01T12:00:00.000+00:00",
    "seen_at": "2026-05-01T12:00:05.000+00:00",
    "ends_at": None,
}


class Api:
    """Answers two pages of viewers of every stream, and remembers what it was asked."""

    asked: list[tuple[Any, ...]]

    def ask(self, method: str, *path: str, body: object = None, **query: str) -> Any:
        """As the client's."""
        self.asked.append((method, *path, body, query.get("after")))
        if method != "GET":
            return {"view": "token"}
        last = query["after"] == "x"
        return {"items": [VIEWER], "total": 2, "next": None if last else "x"}

    def live_streams(self) -> list[str]:
        """As the client's."""
        return ["a", "b"]


@pytest.fixture(autouse=True)
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    made = Api()
    made.asked = []
    for module in (viewers, stream_registry):
        monkeypatch.setattr(module, "ApiClient", lambda: made)
    return made


def call(*arguments: str) -> Result:
    return CliRunner().invoke(viewers.app, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "names"), [([], ["a", "b"]), (["demo"], ["demo"]), (["list", "drop"], ["drop"])]
)
def test_who_watches(arguments: list[str], names: list[str]) -> None:
    listed = json.loads(call(*arguments, "--json").stdout)
    assert listed == {name: [VIEWER, VIEWER] for name in names}


def test_what_a_stranger_chose_does_not_move_the_cursor() -> None:
    said = call("demo").stdout
    assert "anna" in said
    assert "play?[2Jer" in said


def test_a_session_is_ended(api: Api) -> None:
    assert "dropped" in call("drop", "demo", "5f0c").stdout
    assert api.asked == [("DELETE", "streams", "demo", "viewers", "5f0c", None, None)]
    assert call("drop", "demo").exit_code == 2


def test_a_stream_is_registered_with_its_policy(api: Api) -> None:
    done = CliRunner().invoke(streams.app, ["register", "demo", "--view", "token", "--entitlement", "season"])
    assert done.exit_code == 0
    [(*_, body, _)] = api.asked
    assert (body["view"], body["entitlement"]) == ("token", "season")
    refused = CliRunner().invoke(streams.app, ["register", "demo", "--view", "friends"])
    assert isinstance(refused.exception, OperatorError)
    assert refused.exception.exit_code == EX_USAGE
    assert "allowed are open, token, backend" in str(refused.exception)
