"""Publishers without right learn nothing of what there is, and cost nothing."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from appliance.media.rtmp.client import RtmpError
from tests.integration.control.conftest import eventually

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site
from tests.integration.control.attacks.answers import INSIDE, SOMEBODY, costs, seen


class TestPublish:
    """Publishers without right."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        # No comparison with /stat in between: it has questions to Valkey of its own.
        return {**settings, "reconcile_seconds": 60, "lease_seconds": 600}

    async def test_nobody_learns_which_streams_there_are(self, site: Site) -> None:
        await site.api("PUT", "streams/concert", {"allow": ["198.51.100.0/24"]})
        await site.api("PUT", "streams/other", {})
        made = (await site.api("POST", "streams/concert/keys", {})).json()
        good, other = made["key"], (await site.api("POST", "streams/other/keys", {})).json()["key"]
        revoked = (await site.api("POST", "streams/concert/keys", {})).json()
        await site.api("DELETE", f"streams/concert/keys/{revoked['id']}")
        wrong = f"{made['id']}.{'a' * 32}"
        tried = {
            "a stream that is not there": ("nothing", {}),
            "with a key": ("nothing", {"key": good}),
            "one that is there, without a key": ("concert", {}),
            "with a wrong secret": ("concert", {"key": wrong}),
            "with another stream's key": ("concert", {"key": other}),
            "with a key that is over": ("concert", {"key": revoked["key"]}),
            "with the key, from another network": ("concert", {"key": good}),
            "with no key at all": ("concert", {"key": "x" * 500}),
        }
        answers = {}
        await site.ask("publish", "nothing", addr=SOMEBODY)  # scripts are loaded
        for what, (name, fields) in tried.items():
            answered, commands = await costs(site, site.ask("publish", name, addr=SOMEBODY, **fields))
            answers[what] = (seen(answered), commands)
        status, text, _ = next(iter(answers.values()))[0]
        assert (status, json.loads(text)) == (403, {"detail": "Invalid stream key"})
        for what, both in answers.items():
            assert both == answers["a stream that is not there"], what
        assert (await site.ask("publish", "concert", addr=INSIDE, key=good)).status_code == 200

    async def test_a_key_is_compared_even_where_there_is_none(self, site: Site) -> None:
        """The digest is the dear part of an answer: it is made for every question, also without a stream."""
        await site.api("PUT", "streams/concert", {})

        async def quickest(name: str, **fields: str) -> float:
            took = []
            for _ in range(40):
                began = time.perf_counter()
                assert (await site.ask("publish", name, addr=SOMEBODY, **fields)).status_code == 403
                took.append(time.perf_counter() - began)
            return min(took)

        made = (await site.api("POST", "streams/concert/keys", {})).json()
        times = [
            await quickest("nothing"),
            await quickest("concert"),
            await quickest("concert", key=f"{made['id']}.{'a' * 32}"),
        ]
        # Far from what a digest of a slow kind, or one more question to Valkey, would show.
        assert max(times) < 3 * min(times), times

    @pytest.mark.parametrize("address", [SOMEBODY, "2001:db8::7"])
    async def test_a_flood_of_attempts_is_answered_without_asking_valkey(
        self, site: Site, address: str
    ) -> None:
        answers = [await site.ask("publish", "nothing", addr=address) for _ in range(300)]
        late, commands = await costs(site, site.ask("publish", "nothing", addr=address))
        assert seen(late) == seen(answers[0])
        assert commands == {}
        assert (await site.ask("publish", "demo", addr=INSIDE)).status_code == 200

    async def test_lines_in_what_an_encoder_says_reach_no_header(self, site: Site) -> None:
        """nginx writes flashver and the arguments as they are; a callback is a form in a body, so no line of
        them can be a header of it.
        """
        evil = "\r\nX-Real-IP: 127.0.0.1\r\nContent-Length: 0\r\n\r\nname=demo"
        for name in (f"unknown{evil}", f"unknown?x={evil}&name=demo", f"unknown?{evil}"):
            with pytest.raises(RtmpError):
                await site.publish(name)
        assert "<publishing/>" not in await site.on_air()
        lines = site.control.log.read_text().splitlines()
        assert not [line for line in lines if line.startswith("X-Real-IP")]
        assert await site.active() == set()


async def test_a_ban_looks_like_any_refusal(site: Site) -> None:
    refused = seen(await site.ask("publish", "nothing", addr=SOMEBODY))
    async with site.valkey_client() as valkey:
        await valkey.zadd("appliance:bans", {SOMEBODY: 9e12})
    assert seen(await site.ask("publish", "demo", addr=SOMEBODY)) == refused
    await eventually(lambda: "is banned" in site.control.log.read_text())
