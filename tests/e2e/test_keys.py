"""Keys change while viewers watch, on a real host: nobody is refused one, and old ones come to an end."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support import player
from tests.support.encoder import Publisher, Signal
from tests.support.playlists import Multivariant
from tests.support.poller import Poller
from tests.support.site import Site

POLL_SECONDS = 0.05


def keys(site: Site, *arguments: str) -> str:
    """Run `appliance keys` on the host."""
    return site.run("appliance", "keys", *arguments).stdout


def listed(site: Site) -> dict[str, Any]:
    """Return what `appliance keys list` says."""
    found: dict[str, Any] = json.loads(keys(site, "list", "--json"))
    return found


class Viewers(Poller):
    """Ask for every key of a media playlist, over and over, as viewers do who come at any time."""

    def __init__(self, url: str) -> None:
        super().__init__(POLL_SECONDS)
        self.url = url
        self.asked = 0
        self.refused: list[str] = []
        self.ids: list[str] = []
        """In the order in which they were first listed."""
        self._seen = threading.Condition()

    def poll(self) -> None:
        """Ask for every key of the playlist."""
        playlist = player.media(self.url)
        for url in dict.fromkeys(segment.key.url for segment in playlist.segments if segment.key):
            answer = player.get(url, seconds=10)
            self.asked += 1
            if answer.status != 200 or len(answer.body) != 16:
                self.refused.append(f"{url}: {answer.status}")
            with self._seen:
                kid = url.rpartition("/")[2]
                if kid not in self.ids:
                    self.ids.append(kid)
                    self._seen.notify_all()

    def wait_for_another(self, count: int, *, seconds: float = 15) -> str:
        """Wait until a key has been seen beside the first `count`; return its id."""
        with self._seen:
            assert self._seen.wait_for(lambda: len(self.ids) > count, seconds), self.ids
            return self.ids[count]


def same_keys(found: Multivariant) -> bool:
    """Whether each number is under the same key in all renditions that list it."""
    urls = found.urls
    by_number: dict[int, set[str]] = {}
    for url in urls:
        for segment in player.media(url).segments:
            if segment.key:
                by_number.setdefault(segment.number, set()).add(segment.key.url.rpartition("/")[2])
    return all(len(kids) == 1 for kids in by_number.values())


def test_keys_change_while_viewers_watch(site: Site, stream: str) -> None:
    with Publisher(site.rtmp(stream), Signal()):
        # A copied rung may be encoded from some early frame on: not every player plays across that.
        found = player.wait_for(site.hls(stream), segments=8)
        generation = next(item for item in listed(site)["generations"] if item["state"] == "current")[
            "number"
        ]
        with Viewers(found.variants[0].url) as viewers, ThreadPoolExecutor() as pool:
            playing = pool.submit(player.decodes, found.url, 24)
            first = viewers.wait_for_another(0)

            # by the verb, by the timer's unit with its sandbox, and a new master key in between
            assert keys(site, "rotate", stream) == f"{stream}: a new content key from the next segment on\n"
            second = viewers.wait_for_another(1)
            site.run("systemctl", "start", "appliance-rotate-content-keys.service")
            third = viewers.wait_for_another(2)
            site.run("systemctl", "start", "appliance-rotate-master-key.service")
            fourth = viewers.wait_for_another(3)
            said = keys(site, "rotate", "--master")
            assert f"{stream}: has generation {generation + 2}" in said
            fifth = viewers.wait_for_another(4)

            before = [kid.partition("-")[0] for kid in (first, second, third, fourth, fifth)]
            assert before == [str(generation + number) for number in (0, 0, 0, 1, 2)]
            assert same_keys(player.multivariant(found.url))
            assert playing.result() == ""
        assert viewers.refused == []
        assert viewers.asked > 50

        rows = {item["number"]: item for item in listed(site)["generations"]}
        assert rows[generation + 2]["in_use_by"] == [stream]
        assert stream in rows[generation]["needed_by"]
        assert (rows[generation]["state"], rows[generation + 2]["state"]) == ("retired", "current")
        in_use = [row for row in listed(site)["content_keys"] if row["stream"] == stream]
        assert [row["kid"] for row in in_use] == [fifth]

        # nothing that is needed goes, by name neither
        assert f"kept: generation {generation} is needed by" in keys(site, "purge", "--yes")
        refused = site.run("appliance", "keys", "purge", "--yes", str(generation + 2), check=False)
        assert refused.returncode == 1
        assert "is the current one" in refused.stderr
        assert player.get(site.http(f"/hls/{stream}/keys/{first}")).status == 200

        # an id that was never used has no key, and one of another stream neither
        made_up = fifth[:-1] + ("0" if fifth[-1] != "0" else "1")
        assert player.get(site.http(f"/hls/{stream}/keys/{made_up}")).status == 404
        # keys are reached through the control service alone, not below a web root
        assert player.get(site.http(f"/keys/{stream}/{fifth}")).status == 404
        files = site.run("find", f"/srv/hls/{stream}", "-size", "-17c", "-type", "f").stdout
        assert files == ""


def test_a_stream_that_starts_after_a_rotation_uses_the_new_master(site: Site, stream: str) -> None:
    keys(site, "rotate", "--master")
    generation = next(item for item in listed(site)["generations"] if item["state"] == "current")["number"]
    with Publisher(site.rtmp(stream), Signal()):
        found = player.wait_for(site.hls(stream), segments=2)
        segment = player.media(found.variants[0].url).segments[-1]
        assert segment.key is not None
        assert segment.key.url.rpartition("/")[2].startswith(f"{generation}-")
        assert player.decodes(found.url, 2) == ""


def test_no_key_is_in_the_journal(site: Site) -> None:
    """Whatever was rotated before: neither a master key nor the line of a keyring."""
    masters = json.loads(site.run("cat", "/etc/appliance/credentials/content-keyring").stdout)["generations"]
    journal = site.run("journalctl", "--no-pager", "-o", "cat", f"--since=@{int(time.time()) - 1800}").stdout
    assert "keys rotate" in journal or "generation" in journal
    assert [number for number, item in masters.items() if item["master"] in journal] == []
    assert '"master"' not in journal
