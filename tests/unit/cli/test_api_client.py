"""What a host's own commands ask the API for is what the operator named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.cli import api_client
from appliance.cli.api_client import ApiClient
from appliance.secrets.making import make_missing
from tests.support.stub_backend import StubBackend, answer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("demo", "/api/v1/streams/demo/publisher"),
        (".", "/api/v1/streams/%2E/publisher"),
        ("..", "/api/v1/streams/%2E%2E/publisher"),
        ("a/../b", "/api/v1/streams/a%2F..%2Fb/publisher"),
        ("a?b#c", "/api/v1/streams/a%3Fb%23c/publisher"),
    ],
)
def test_no_name_leads_to_another_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    """`appliance streams drop .` must not forget the stream `publisher`."""
    make_missing(tmp_path, None)
    monkeypatch.setattr(api_client, "CREDENTIALS_DIRECTORY", tmp_path)
    backend = StubBackend([answer(200), answer(200)])
    settings = tmp_path / "appliance.yml"
    with backend.beside():
        settings.write_text(f"control_url: {backend.url}\n")
        ApiClient(settings).ask("DELETE", "streams", name, "publisher", body={})
    assert backend.paths == [path]
