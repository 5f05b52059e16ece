"""What one host's inventory takes from the environment of whoever runs the playbook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

pytestmark = pytest.mark.usefixtures("lookups")

VARIABLES = Path(__file__).resolve().parents[2] / "inventory/local/group_vars/all.yml"

GIVEN = {
    "ALLOWED_STREAM_KEYS": ("control_allowed_stream_keys", "concert, studio-2", ["concert", "studio-2"]),
    "HLS_ENCRYPTION_KEY": ("control_hls_encryption_key", "00" * 16, "00" * 16),
    "HTTP_CALLBACK_URL": ("control_http_callback_url", "https://backend.example", "https://backend.example"),
    "WEBHOOK_SECRET": ("control_webhook_secret", "whsec_c2VjcmV0", "whsec_c2VjcmV0"),
}


def value(variable: str) -> Any:
    """Return what the variable comes to."""
    loader = DataLoader()
    variables = loader.load_from_file(str(VARIABLES), trusted_as_template=True)
    return Templar(loader=loader, variables=variables).template(trust_as_template(f"{{{{ {variable} }}}}"))


@pytest.mark.parametrize("name", GIVEN)
def test_is_taken_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable, text, expected = GIVEN[name]
    monkeypatch.setenv(name, text)
    assert value(variable) == expected
    monkeypatch.delenv(name)
    assert value(variable) == type(expected)()
