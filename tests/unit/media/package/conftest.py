from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.secrets.keyring import Keyring
from tests.unit.media.package.published import Workbench, options

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    root = tmp_path / "hls"
    root.mkdir()
    return Workbench(root, Keyring.create(b"m" * 32), options())
