"""Who may publish, and what a publisher's coming and going does to the stream."""

from __future__ import annotations

import pytest

from tests.support import player
from tests.support.encoder import Publisher, Signal
from tests.support.site import GRACE_SECONDS, RETAIN_SECONDS, Site
from tests.support.waiting import until

SMALL = Signal(width=320, height=180, rate="25")


@pytest.mark.parametrize(
    "name",
    ["unknown", "bad.name", "-option", "%2e%2e", "a" * 65, "test-0x", "TEST-0", ">out"],
)
def test_refuses_a_name(site: Site, name: str) -> None:
    folders = set(site.run("ls", "/srv/hls").stdout.split())
    units = set(site.units("stream@*"))
    with Publisher(site.rtmp(name), SMALL) as publisher:
        publisher.wait_refused(20)
    assert set(site.units("stream@*")) <= units
    assert set(site.run("ls", "/srv/hls").stdout.split()) <= folders
    assert name not in site.active()


def test_refuses_a_second_publisher(site: Site, stream: str) -> None:
    with Publisher(site.rtmp(stream), SMALL) as first:
        listed = player.wait_for(site.hls(stream), segments=2)
        process = site.property(f"stream@{stream}.service", "MainPID")
        with Publisher(site.rtmp(stream), SMALL) as second:
            second.wait_refused(20)
        assert site.property(f"stream@{stream}.service", "MainPID") == process
        assert first.connected
        playlist = player.media(listed.variants[0].url)
        later = player.wait_for_number(listed.variants[0].url, playlist.last + 2)
        assert not any(segment.discontinuity for segment in later.segments)


def test_forms_that_lie_are_refused(site: Site) -> None:
    """nginx appends a publisher's own arguments to the form unescaped: no field may stand twice."""
    for form in (
        "app=live&name=unknown&addr=127.0.0.1",
        "app=live&name=test-0&addr=127.0.0.1&name=demo",
        "app=other&name=test-0&addr=127.0.0.1",
        "app=live&name=../x&addr=127.0.0.1",
        "app=live&addr=127.0.0.1",
    ):
        assert site.post("http://127.0.0.1:8000/auth/publish", form) in {400, 403}, form
    assert "test-0" not in site.active()


def test_leaving_ends_the_stream_and_removes_it(site: Site, stream: str) -> None:
    unit = f"stream@{stream}.service"
    with Publisher(site.rtmp(stream), SMALL):
        listed = player.wait_for(site.hls(stream), segments=2)
        assert stream in site.active()
    url = listed.variants[0].url
    until("ENDLIST", lambda: player.media(url).ended, GRACE_SECONDS + 10)
    until("active", lambda: stream not in site.active(), 10)
    # what was still to be seen stays for a while, and plays to its end
    assert player.decodes(listed.url, 2) == ""
    until("the end of the unit", lambda: unit not in site.units("stream@*"), RETAIN_SECONDS + 15)
    assert stream not in site.run("ls", "/srv/hls").stdout.split()
    assert player.get(site.hls(stream)).status == 404


def test_a_reconnect_goes_on(site: Site, stream: str) -> None:
    with Publisher(site.rtmp(stream), SMALL):
        listed = player.wait_for(site.hls(stream), segments=2)
    url = listed.variants[0].url
    before = player.media(url).last
    with Publisher(site.rtmp(stream), SMALL):
        later = player.wait_for_number(url, before + 3)
        assert player.multivariant(listed.url).variants[0].url == url, "the URL changed"
    broken = [segment.number for segment in later.segments if segment.discontinuity]
    assert len(broken) == 1, f"discontinuities at {broken}"
    assert broken[0] > before
    assert not later.ended


def test_publishing_again_after_the_end_begins_anew(site: Site, stream: str) -> None:
    with Publisher(site.rtmp(stream), SMALL):
        listed = player.wait_for(site.hls(stream), segments=1)
    url = listed.variants[0].url
    until("ENDLIST", lambda: player.media(url).ended, GRACE_SECONDS + 10)
    with Publisher(site.rtmp(stream), SMALL):
        until(
            "a new epoch",
            lambda: (
                player.get(listed.url).status == 200
                and player.multivariant(listed.url).variants[0].url != url
            ),
            20,
        )
        anew = player.wait_for(site.hls(stream), segments=1)
        assert not player.media(anew.variants[0].url).ended
