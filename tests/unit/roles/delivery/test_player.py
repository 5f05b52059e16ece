"""The player page as nginx serves it: its policy, who may show it in a frame, and what lies beside it."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from .conftest import Delivery

SITE = "https://www.example.org"


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    page = tmp_path / "page"
    page.mkdir()
    for name in ("index.html", "page.js", "player.css", "package.json"):
        (page / name).write_text(name)
    (page / "hls.js.gz").write_bytes(gzip.compress(b"library"))
    return {"_delivery_player_root": str(page), **getattr(request, "param", {})}


def frame_ancestors(delivery: Delivery) -> str:
    answer, _ = delivery.ask("/watch/demo")
    found = re.search(r"frame-ancestors ([^;]*)", answer.headers["Content-Security-Policy"])
    assert found is not None
    return found[1]


def test_every_name_has_the_same_page(delivery: Delivery) -> None:
    for name in ("demo", "nothing-of-this-name", "t"):
        answer, body = delivery.ask(f"/watch/{name}")
        assert (answer.status, body) == (200, b"index.html")
        assert answer.headers["Content-Type"] == "text/html"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert frame_ancestors(delivery) == "'self'"
    # A browser that has it asks whether it changed.
    again, _ = delivery.ask("/watch/demo", If_None_Match=answer.headers["ETag"])
    assert again.status == 304
    media, _ = delivery.ask("/hls/demo.m3u8")
    assert media.headers["Content-Security-Policy"] is None


def test_its_files_are_served_and_no_others(delivery: Delivery) -> None:
    answer, body = delivery.ask("/watch/-/page.js", Origin=SITE)
    assert (answer.status, body) == (200, b"page.js")
    assert answer.headers["Content-Type"] == "text/javascript"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"  # for pages that import it
    answer, body = delivery.ask("/watch/-/hls.js")
    assert (answer.status, gzip.decompress(body)) == (200, b"library")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Type"] == "text/javascript"
    for path in ("/watch/", "/watch/-/", "/watch/a/b", "/watch/-/package.json", "/watch/-/../delivery.conf"):
        assert delivery.ask(path)[0].status == 404, path


@pytest.mark.parametrize(
    "settings", [{"delivery_player_frame_origins": [SITE, "https://*.b.example"]}], indirect=True
)
def test_named_sites_may_show_it_in_a_frame(delivery: Delivery) -> None:
    assert frame_ancestors(delivery) == f"{SITE} https://*.b.example"


@pytest.mark.parametrize("settings", [{"delivery_viewer_networks": ["192.0.2.0/24"]}], indirect=True)
def test_who_may_not_watch_gets_no_page(delivery: Delivery) -> None:
    assert delivery.ask("/watch/demo")[0].status == 403


@pytest.mark.parametrize("settings", [{"delivery_player": False}], indirect=True)
def test_there_may_be_none(delivery: Delivery) -> None:
    answer, _ = delivery.ask("/watch/demo")
    assert answer.status == 404
    assert answer.headers["Content-Security-Policy"] is None
