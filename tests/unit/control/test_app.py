"""The HTTP surface that needs no neighbour: keys, health, refusals, and that nothing leaks."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from appliance.journal import JsonFormatter
from appliance.secrets.content_keys import KeyId

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from appliance.control.context import Control

KEY_ID = KeyId.new(1)
NONCE = KEY_ID.nonce.hex()


async def test_a_key_is_sixteen_bytes_that_nobody_stores(http: httpx.AsyncClient, control: Control) -> None:
    answer = await http.get(f"/keys/demo/1-{NONCE}")
    assert answer.status_code == 200
    assert answer.content == control.keyring.derive(f"1-{NONCE}", "demo")
    assert len(answer.content) == 16
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["cache-control"] == "no-store"
    assert (await http.get(f"/keys/other/1-{NONCE}")).content != answer.content


@pytest.mark.parametrize(
    "path",
    [
        f"/keys/demo/2-{NONCE}",
        f"/keys/demo/1-{NONCE[:-1]}",
        f"/keys/demo/1-{NONCE[:-1]}G",
        f"/keys/demo/1-{'A' * 32}",
        f"/keys/demo/01-{NONCE}",
        f"/keys/-demo/1-{NONCE}",
        f"/keys/a.b/1-{NONCE}",
        f"/keys/%2e%2e/1-{NONCE}",
        "/keys/demo/",
        "/keys/demo",
        f"/keys/demo/1-{NONCE}/x",
    ],
)
async def test_other_keys_are_not_found(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-store"


async def test_a_key_goes_when_nothing_needs_it(
    http: httpx.AsyncClient, control: Control, tmp_path: Path
) -> None:
    directory = tmp_path / "hls" / "demo"
    directory.mkdir(parents=True)
    (directory / "state.json").write_text(json.dumps({"kid": str(KEY_ID)}))
    assert (await http.get(f"/keys/demo/{KEY_ID}")).status_code == 200
    never = await http.get(f"/keys/demo/{KeyId.new(1)}")
    assert (never.status_code, never.json()) == (404, {"detail": "No such key"})
    assert never.headers["cache-control"] == "no-store"
    assert control.keyring.derive(str(KEY_ID), "demo").hex() not in never.text


async def test_health_asks_nobody_and_ready_names_what_is_missing(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health")).json() == {"status": "healthy"}
    ready = await http.get("/ready")
    assert ready.status_code == 503
    assert ready.json()["parts"]["state"]["ok"] is False
    assert "nobody.sock" in ready.json()["parts"]["state"]["detail"]
    assert ready.json()["parts"]["ingest"]["ok"] is False


async def test_without_state_the_lists_answer_503(http: httpx.AsyncClient) -> None:
    for path in ("/streams/active", "/streams/stats"):
        answer = await http.get(path)
        assert answer.status_code == 503
        assert answer.json() == {"detail": "The shared state is not available at the moment"}
    assert (await http.get("/stat")).status_code == 502


async def test_an_unexpected_error_leaks_nothing(
    http: httpx.AsyncClient, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(control.leases, "all", broken)
    answer = await http.get("/streams/active")
    assert answer.status_code == 500
    assert answer.json() == {"detail": "Internal error"}


async def test_an_unexpected_error_of_the_api_is_a_problem(
    http: httpx.AsyncClient, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(control.bans, "all", broken)
    [token] = control.secrets.admin_tokens()
    answer = await http.get("/api/v1/bans", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    said = {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Internal error",
    }
    assert answer.json() == said
    assert answer.headers["cache-control"] == "no-store"


async def test_the_access_log_is_json_without_arguments(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="appliance"):
        await http.get("/nothing/here?token=s3cret")
        await http.get("/health")
    lines = [JsonFormatter().format(line) for line in caplog.records if line.getMessage() == "request"]
    [line] = [json.loads(text) for text in lines]
    assert (line["method"], line["status"]) == ("GET", 404)
    assert "s3cret" not in str(line)
