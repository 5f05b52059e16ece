"""Registered streams: who gets in with which key, from where, and who is dropped."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.media.rtmp.client import RtmpError
from tests.integration.control.conftest import eventually

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site

SOMEBODY = "203.0.113.9"


async def register(site: Site, name: str = "concert", **spec: Any) -> None:
    answer = await site.api("PUT", f"streams/{name}", spec)
    assert answer.status_code in {200, 201}, answer.text


async def key(site: Site, name: str = "concert", **spec: Any) -> str:
    answer = await site.api("POST", f"streams/{name}/keys", spec)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def key_id(shown: str) -> str:
    return shown.partition(".")[0]


async def test_a_registered_stream_is_published_with_its_key_alone(site: Site) -> None:
    await register(site)
    await register(site, "other")
    good, foreign = await key(site), await key(site, "other")
    wrong = f"{key_id(good)}.{'a' * 32}"
    for refused in ("concert", f"concert?key={foreign}", f"concert?key={wrong}", "concert?key=", "unknown"):
        with pytest.raises(RtmpError):
            await site.publish(refused)
    assert site.systemd.started == []
    await site.publish(f"concert?key={good}")
    shown = (await site.api("GET", "streams/concert")).json()
    assert shown["publisher"]["key_id"] == key_id(good)
    log = site.control.log.read_text()
    assert good.partition(".")[2] not in log
    assert "a" * 32 not in log


async def test_whoever_registers_an_allowed_name_closes_it(site: Site) -> None:
    assert (await site.ask("publish", "demo")).status_code == 200
    await site.ask("publish_done", "demo")
    await register(site, "demo")
    assert (await site.ask("publish", "demo")).status_code == 403
    assert (await site.ask("publish", "demo", key=await key(site, "demo"))).status_code == 200


async def test_revoking_a_key_drops_its_publisher(site: Site) -> None:
    await register(site)
    first, second = await key(site), await key(site)
    publisher = await site.publish(f"concert?key={first}")
    assert (await site.api("DELETE", f"streams/concert/keys/{key_id(second)}")).status_code == 204
    assert await publisher.connected(0.5), "another's key is no reason"
    begun = time.monotonic()
    assert (await site.api("DELETE", f"streams/concert/keys/{key_id(first)}")).status_code == 204
    assert not await publisher.connected(5)
    assert time.monotonic() - begun < 2
    with pytest.raises(RtmpError):
        await site.publish(f"concert?key={first}")
    [one, _] = (await site.api("GET", "streams/concert/keys")).json()["items"]
    assert one["over"].startswith("was revoked at ")


async def test_a_revocation_that_nobody_heard_of_is_made_up_for(site: Site) -> None:
    """As when the message to the publisher's host is lost."""
    await register(site)
    shown = await key(site)
    publisher = await site.publish(f"concert?key={shown}")
    async with site.valkey_client() as valkey:
        name = "appliance:stream_keys:concert"
        document = json.loads(str(await valkey.hget(name, key_id(shown))))  # type: ignore[misc]
        document["revoked_at"] = datetime.now(UTC).isoformat()
        await valkey.hset(name, key_id(shown), json.dumps(document))  # type: ignore[misc]
    assert not await publisher.connected(10)


async def test_a_key_is_known_by_after_valkey_has_lost_the_lease(site: Site) -> None:
    """As when Valkey was away for longer than a lease lives, or its host's clock jumped ahead."""
    await register(site)
    shown = await key(site)
    publisher = await site.publish(f"concert?key={shown}")
    async with site.valkey_client() as valkey:
        await valkey.delete("appliance:lease:concert", "appliance:leases")

    async def held() -> bool:
        return (await site.api("GET", "streams/concert")).json()["publisher"] is not None

    await eventually(held)
    assert (await site.api("DELETE", f"streams/concert/keys/{key_id(shown)}")).status_code == 204
    assert not await publisher.connected(2)


async def shown_publisher(site: Site) -> Any:
    return (await site.api("GET", "streams/concert")).json()["publisher"]


async def test_a_key_is_known_by_after_a_restart_without_valkey(site: Site) -> None:
    await register(site)
    shown = await key(site)
    publisher = await site.publish(f"concert?key={shown}")
    begun = (await shown_publisher(site))["started_at"]
    await site.control.end()
    async with site.valkey_client() as valkey:
        await valkey.delete("appliance:lease:concert", "appliance:leases")
    await site.valkey.end()
    await site.control.up()
    await site.valkey.up()
    await eventually(lambda: _is_shown(site))
    found = await shown_publisher(site)
    assert (found["key_id"], found["started_at"]) == (key_id(shown), begun)
    assert await publisher.connected(0.1)
    assert (await site.api("DELETE", f"streams/concert/keys/{key_id(shown)}")).status_code == 204
    assert not await publisher.connected(2)


async def test_whose_key_is_lost_goes_on_until_a_key_is_revoked(site: Site) -> None:
    """Valkey has forgotten who was let in while the service was away, or comes from an older backup."""
    await register(site)
    shown, other = await key(site), await key(site)
    publisher = await site.publish(f"concert?key={shown}")
    await site.control.end()
    async with site.valkey_client() as valkey:
        await valkey.delete("appliance:lease:concert", "appliance:leases")
        await valkey.delete("appliance:publish:concert", "appliance:publishes")
    await site.control.up()
    await eventually(lambda: _is_shown(site))
    assert (await shown_publisher(site))["key_id"] == ""
    await eventually(lambda: site.control.events("supervise"))
    assert await publisher.connected(1), "nobody has revoked anything"
    [said] = site.control.events("supervise")
    assert (said["part"], said["action"]) == ("concert", "waiting")
    assert said["reason"].endswith("; appliance streams drop concert has its encoder come back with its key")
    # It may have been this one's.
    assert (await site.api("DELETE", f"streams/concert/keys/{key_id(other)}")).status_code == 204
    assert not await publisher.connected(5)
    again = await site.publish(f"concert?key={shown}")
    await eventually(lambda: len(site.control.events("supervise")) == 2)
    assert site.control.events("supervise")[1]["action"] == "recovered"
    assert await again.connected(0.3)


async def _is_shown(site: Site) -> bool:
    answer = await site.api("GET", "streams/concert")
    return answer.is_success and answer.json()["publisher"] is not None


async def test_who_comes_back_with_its_key_takes_over_from_a_dead_connection(site: Site) -> None:
    await register(site)
    shown, other = await key(site), await key(site)
    first = await site.publish(f"concert?key={shown}")
    with pytest.raises(RtmpError):
        await site.publish(f"concert?key={shown}")
    first.fall_silent()
    with pytest.raises(RtmpError):
        await site.publish(f"concert?key={other}")
    second = await site.publish(f"concert?key={shown}")
    assert not await first.connected(1)
    assert await second.connected(1)
    assert await site.active() == {"concert"}


async def test_a_key_is_over_after_its_grace_or_its_time(site: Site) -> None:
    await register(site)
    graced, ending = await key(site), await key(site, expires_in_seconds=1)
    answer = await site.api("DELETE", f"streams/concert/keys/{key_id(graced)}?grace_seconds=60")
    assert answer.status_code == 204
    publisher = await site.publish(f"concert?key={graced}")
    assert await publisher.connected(0.5)
    await publisher.close()
    await eventually(lambda: site.control.events("publish_done") != [])
    until = datetime.now(UTC) + timedelta(seconds=1)
    await eventually(lambda: datetime.now(UTC) > until)
    assert (await site.ask("publish", "concert", key=ending)).status_code == 403


async def test_networks_decide_who_may_publish(site: Site) -> None:
    await register(site, allow=["203.0.113.0/24", "2001:db8::/32"], deny=["203.0.113.128/25"])
    shown = await key(site)
    addresses = {"203.0.113.9": 200, "203.0.113.200": 403, "198.51.100.1": 403, "2001:db8::1": 200}
    for address, status in {**addresses, "unix:": 403}.items():
        answer = await site.ask("publish", "concert", addr=address, key=shown)
        assert answer.status_code == status, address
        await site.ask("publish_done", "concert")


@pytest.mark.parametrize(
    "settings", [{"publish_failures": 5, "ban_seconds": 60, "reconcile_seconds": 0.5, "lease_seconds": 10}]
)
async def test_who_fails_too_often_is_not_listened_to(site: Site) -> None:
    await register(site)
    shown = await key(site)
    for _ in range(5):
        assert (await site.ask("publish", "concert", addr=SOMEBODY)).status_code == 403
    assert (await site.ask("publish", "concert", addr=SOMEBODY, key=shown)).status_code == 403
    assert (await site.ask("publish", "concert", addr="203.0.113.10", key=shown)).status_code == 200
    await site.ask("publish_done", "concert")
    [ban] = (await site.api("GET", "bans")).json()["items"]
    assert ban["who"] == SOMEBODY
    assert 50 < ban["seconds"] <= 60
    assert (await site.api("DELETE", f"bans/{SOMEBODY}")).status_code == 204
    assert (await site.api("DELETE", f"bans/{SOMEBODY}")).status_code == 404
    assert (await site.ask("publish", "concert", addr=SOMEBODY, key=shown)).status_code == 200


@pytest.mark.parametrize(
    "settings", [{"publish_failures": 5, "ban_seconds": 60, "reconcile_seconds": 0.5, "lease_seconds": 10}]
)
async def test_who_is_kept_out_for_a_while_has_not_failed(site: Site) -> None:
    """Its key is good, and encoders come back every other second: the ban would be all its address's."""
    await register(site)
    shown = await key(site)
    async with site.valkey_client() as valkey:
        await valkey.set("appliance:kept_out:concert", "it has 1080 pixels high", ex=60)
        for _ in range(6):
            assert (await site.ask("publish", "concert", addr=SOMEBODY, key=shown)).status_code == 403
        assert (await site.api("GET", "bans")).json()["items"] == []
        assert "kept out for a while" in site.control.events("publish")[-1]["reason"]
        # A key that does not fit is a failure meanwhile, as ever.
        for _ in range(5):
            await site.ask("publish", "concert", addr=SOMEBODY)
    [ban] = (await site.api("GET", "bans")).json()["items"]
    assert ban["who"] == SOMEBODY


async def test_an_ipv6_network_is_one_somebody(site: Site) -> None:
    for number in range(30):
        await site.ask("publish", "unknown", addr=f"2001:db8:1:2::{number:x}")
    [ban] = (await site.api("GET", "bans")).json()["items"]
    assert ban["who"] == "2001:db8:1:2::/64"


async def test_a_publisher_that_exceeds_its_limits_is_dropped_and_kept_out(
    site: Site, tmp_path: Path
) -> None:
    await register(site, limits={"height": 720})
    shown = await key(site)
    publisher = await site.publish(f"concert?key={shown}")
    folder = tmp_path / "hls" / "concert"
    folder.mkdir(parents=True)

    def tell(height: int) -> None:
        # As the stream's process does, twice a second.
        status = {"updated": datetime.now(UTC).isoformat(), "source": {"video": {"height": height}}}
        (folder / "status.json").write_text(json.dumps(status))

    def dropped() -> bool:
        tell(1080)
        return bool(site.control.events("drop"))

    tell(720)
    await eventually(dropped, 15)
    assert not await publisher.connected(2)
    [event] = site.control.events("drop")
    assert event["reason"] == "it has 1080 pixels high; allowed are 720"
    assert (await site.ask("publish", "concert", key=shown)).status_code == 403


async def test_a_record_that_cannot_be_read_lets_nobody_in(site: Site) -> None:
    await register(site)
    shown = await key(site)
    async with site.valkey_client() as valkey:
        await valkey.set("appliance:stream:concert", "{}")
    assert (await site.ask("publish", "concert", key=shown)).status_code == 503
    [event] = site.control.events("publish")
    assert "DEL appliance:stream:concert removes it" in event["reason"]


async def test_removing_a_stream_drops_its_publisher(site: Site) -> None:
    await register(site)
    publisher = await site.publish(f"concert?key={await key(site)}")
    assert (await site.api("DELETE", "streams/concert")).status_code == 204
    assert not await publisher.connected(5)
    assert (await site.api("GET", "streams/concert")).status_code == 404


async def test_an_operator_drops_a_publisher(site: Site) -> None:
    publisher = await site.publish("demo")
    assert (await site.api("DELETE", "streams/demo/publisher")).status_code == 204
    assert await site.active() == set()
    assert not await publisher.connected(1)
    assert (await site.api("DELETE", "streams/demo/publisher")).status_code == 404
