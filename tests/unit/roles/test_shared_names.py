"""Names and forms of names that the roles spell out are those of the program."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from appliance.control.view.tokens import MAX_LENGTH, TOKEN_PATTERN
from appliance.media.encode.encoder_memory import SHARED
from appliance.media.encode.thumbnails import THUMBNAIL
from appliance.media.package.catalogue import EPOCH, new_epoch_name
from appliance.media.package.rendition import RENDITION_NAME
from appliance.media.serve.server import PLAYLIST_SOCKET
from appliance.media.stream_client import STREAMS_DIRECTORY
from appliance.names import STREAM_NAME_PATTERN, StreamName, rotation_unit, stream_unit
from appliance.secrets.content_keys import KEY_ID, KeyId
from tests.unit.test_templates import ROLES


@pytest.fixture(scope="module")
def delivery() -> dict[str, Any]:
    """The delivery role's own variables."""
    found: dict[str, Any] = yaml.safe_load((ROLES / "delivery/vars/main.yml").read_text())
    return found


def test_addresses_have_the_forms_that_the_program_gives_them(delivery: dict[str, Any]) -> None:
    assert f"^{delivery['_delivery_name']}$" == STREAM_NAME_PATTERN
    assert delivery["_delivery_run"] == f"{EPOCH}/{RENDITION_NAME}"
    assert delivery["_delivery_key_id"] == KEY_ID
    assert (delivery["_delivery_token"], delivery["_delivery_token_length"]) == (TOKEN_PATTERN, MAX_LENGTH)


def test_what_the_program_makes_has_these_forms() -> None:
    assert re.fullmatch(EPOCH, new_epoch_name(datetime.now(UTC), taken=set()))
    assert re.fullmatch(KEY_ID, str(KeyId.new(1)))
    assert re.fullmatch(KEY_ID, str(KeyId.new(999_999_999)))


def test_nginx_finds_what_a_stream_puts_there(delivery: dict[str, Any]) -> None:
    text = (ROLES / "delivery/templates/delivery.conf.j2").read_text()
    assert set(re.findall(r"\$stream/(\w+\.sock)", text)) == {PLAYLIST_SOCKET}
    assert set(re.findall(r"\$stream/(\w+\.jpg)", text)) == {THUMBNAIL}
    assert delivery["_delivery_sockets"] == str(STREAMS_DIRECTORY)


def test_a_streams_unit_has_the_directories_that_the_program_looks_in() -> None:
    unit = (ROLES / "origin/templates/stream@.service.j2").read_text()
    assert f"\nRuntimeDirectory={SHARED} {SHARED}/%i\n" in unit
    assert str(STREAMS_DIRECTORY) == f"/run/{SHARED}"


def test_the_control_service_may_start_what_it_starts() -> None:
    rules = (ROLES / "control/files/50-appliance-control.rules").read_text()
    allowed = re.search(r"/(\^.*\$)/\.test\(unit\)", rules)
    assert allowed is not None
    for unit in (stream_unit(StreamName("demo-1")), rotation_unit(StreamName("demo-1"))):
        assert re.search(allowed[1], unit)
    for unit in ("appliance-rotate@internal.service", "stream@a b.service", "x-stream@demo.service"):
        assert not re.search(allowed[1], unit)
    assert (ROLES / "control/templates" / f"{rotation_unit(StreamName(''))}.j2").exists()
