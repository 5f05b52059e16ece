"""What somebody tries who may not: each attack has its answer, and none tells what there is.

Others stand beside what they attack: names and repeated parameters (test_publish), RTMP play around the HLS
rules (test_publish), tokens of any shape (unit: view/test_tokens), webhooks sent again
(test_example_backend), bounds of delivery (unit: roles/delivery/test_limits), the service's port from outside
(host: test_services).
"""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Tokens are needed, and nobody is banned meanwhile."""
    return {**settings, "view_policy": "token", "publish_failures": 0}
