"""What a rotation refuses before it asks anybody; the rest needs a real Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.errors import EX_CONFIG, OperatorError
from appliance.media.stream_client import StreamClient
from appliance.ops.rotation import Rotation
from appliance.secrets.making import make_missing
from appliance.settings import Settings
from appliance.state.valkey import State

if TYPE_CHECKING:
    from pathlib import Path

CHOSEN = "a-secret-of-the-customer"


async def test_a_webhook_secret_that_the_operator_chose_is_not_rotated(tmp_path: Path) -> None:
    make_missing(tmp_path, None, webhook_secret=CHOSEN)
    path = tmp_path / "webhook-secret"
    before = path.read_text()
    state = State(tmp_path / "nobody.sock", None)
    rotation = Rotation(tmp_path, Settings(), "here", state, StreamClient(tmp_path, units=set))
    with pytest.raises(OperatorError, match="control_webhook_secret") as refused:
        await rotation.rotate("webhook-secret")
    assert refused.value.exit_code == EX_CONFIG
    assert CHOSEN not in str(refused.value)
    assert path.read_text() == before
