"""Who may watch: what delivery asks the control service, how seldom, and what it never tells."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest

from .conftest import KEY, KID, PLAYLIST, RUN

if TYPE_CHECKING:
    from .conftest import Control, Delivery, Packager

GOOD = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ.eyJzdHJlYW0iOiJkZW1vIn0.c2lnbmF0dXJlLW9mLWdvb2Q"
BAD, UNPAID, FOREIGN = GOOD + "bad", GOOD + "unpaid", GOOD + "foreign"
PROTECTED = ["/hls/demo.m3u8", f"{RUN}/index.m3u8", f"/hls/demo/keys/{KID}", "/hls/demo.jpg"]
FREE = [f"{RUN}/{name}" for name in ("17.m4s", "17.ts", "17.2.m4s", "init-0.mp4")]
INDEX = "/abc123/v720/index.m3u8"
NEWS = b"#EXTM3U\n" + b"#EXTINF:2.0,\n18.m4s\n" * 40
TOKENS = pytest.mark.parametrize("settings", [{"delivery_view_auth": True}])
ALL_LOGGED = {"delivery_view_auth": True, "delivery_access_log": "all"}


def within(token: str, path: str) -> str:
    """The address of `path` that carries `token`."""
    return path.replace("/hls/", f"/hls/t/{token}/", 1)


@pytest.fixture(autouse=True)
def verdicts(control: Control) -> None:
    control.verdicts |= {GOOD: 204, UNPAID: 402, FOREIGN: 403}


@TOKENS
@pytest.mark.parametrize("path", PROTECTED)
def test_without_a_token_there_is_nothing_to_see(delivery: Delivery, control: Control, path: str) -> None:
    answer, body = delivery.ask(path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert b"EXTM3U" not in body
    assert [view.get("X-View-Token") for view in control.views] == [None]


@TOKENS
@pytest.mark.parametrize("path", PROTECTED)
@pytest.mark.parametrize("by", ["cookie", "address", "header"])
def test_a_token_opens(*, delivery: Delivery, control: Control, path: str, by: str) -> None:
    if by == "cookie":
        answer, _ = delivery.ask(path, Cookie=f"other=1; view={GOOD}", Authorization="Basic YTpi")
    elif by == "header":
        answer, _ = delivery.ask(path, Authorization=f"bearer {GOOD}")
    else:
        answer, _ = delivery.ask(within(GOOD, path))
    assert answer.status == 200
    [view] = control.views
    asked = {name: view[name] for name in ("X-Stream", "X-View-Token", "X-Real-IP")}
    assert asked == {"X-Stream": "demo", "X-View-Token": GOOD, "X-Real-IP": "127.0.0.1"}


@TOKENS
@pytest.mark.parametrize(("token", "status"), [(BAD, 401), (UNPAID, 402), (FOREIGN, 403)])
@pytest.mark.parametrize("path", [*PROTECTED, f"{RUN}/index.m3u8?_HLS_msn=18&_HLS_part=0"])
def test_a_refusal_is_passed_on(
    *, delivery: Delivery, packager: Packager, token: str, status: int, path: str
) -> None:
    for _ in range(2):  # as it was answered, and as it is remembered
        assert delivery.ask(within(token, path))[0].status == status
    assert packager.asked == []


@TOKENS
@pytest.mark.parametrize("path", FREE)
def test_segments_are_for_all(delivery: Delivery, control: Control, path: str) -> None:
    for asked in (path, within(GOOD, path), within(BAD, path)):
        answer, _ = delivery.ask(asked)
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert control.views == []


@TOKENS
def test_relative_addresses_keep_the_token(delivery: Delivery) -> None:
    (delivery.media / "demo" / "index.m3u8").write_text("#EXTM3U\ndemo/abc123/v720/index.m3u8\n")
    playlist = f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="../../keys/{KID}"\n#EXTINF:2,\n17.m4s\n'
    (delivery.media / "demo/abc123/v720/index.m3u8").write_text(playlist)
    first = within(GOOD, "/hls/demo.m3u8")
    second = urljoin(first, delivery.ask(first)[1].decode().splitlines()[1])
    lines = delivery.ask(second)[1].decode()
    [key] = re.findall(r'URI="([^"]+)"', lines)
    assert delivery.ask(urljoin(second, key))[1] == KEY
    assert delivery.ask(urljoin(second, lines.splitlines()[-1]))[1] == bytes(100_000)


@TOKENS
def test_the_address_goes_before_the_header_and_that_before_the_cookie(delivery: Delivery) -> None:
    assert delivery.ask(within(BAD, "/hls/demo.m3u8"), Cookie=f"view={GOOD}")[0].status == 401
    assert delivery.ask(within(GOOD, "/hls/demo.m3u8"), Cookie=f"view={BAD}")[0].status == 200
    assert delivery.ask(within(BAD, "/hls/demo.m3u8"), Authorization=f"Bearer {GOOD}")[0].status == 401
    for first, status in ((GOOD, 200), (BAD, 401)):
        other = BAD if first == GOOD else GOOD
        sent = {"Authorization": f"Bearer {first}", "Cookie": f"view={other}"}
        assert delivery.ask("/hls/demo.m3u8", **sent)[0].status == status


@TOKENS
def test_a_viewer_is_asked_about_once_for_each_stream(delivery: Delivery, control: Control) -> None:
    for _ in range(5):
        for path in PROTECTED:
            assert delivery.ask(path, Cookie=f"view={GOOD}")[0].status == 200
    assert len(control.views) == 1
    delivery.ask("/hls/other.m3u8", Cookie=f"view={GOOD}")
    assert [view["X-Stream"] for view in control.views] == ["demo", "other"]


@pytest.mark.parametrize("settings", [{"delivery_view_auth": True, "delivery_auth_cache_seconds": 1}])
def test_an_old_answer_is_none(delivery: Delivery, control: Control) -> None:
    assert delivery.ask(within(GOOD, "/hls/demo.m3u8"))[0].status == 200
    control.verdicts[GOOD] = 402
    deadline = time.monotonic() + 10
    while delivery.ask(within(GOOD, "/hls/demo.m3u8"))[0].status == 200:
        assert time.monotonic() < deadline
    assert len(control.views) == 2


@TOKENS
def test_another_page_or_player_is_another_question(delivery: Delivery, control: Control) -> None:
    """A backend may judge by both; of viewers behind one address one alone may be on the right page."""
    path, page = within(GOOD, "/hls/demo.m3u8"), "https://site.example/watch"
    for _ in range(2):
        for referrer, player in ((f"{page}?id=secret", "p1"), (page, "p2"), ("https://other.example/", "p1")):
            delivery.ask(path, Referer=referrer, User_Agent=player)
    delivery.ask(path, Referer=f"https://site.example/hls/t/{GOOD}/x", User_Agent="x" * 1000)
    seen = [(view.get("X-View-Referrer"), view.get("X-View-User-Agent")) for view in control.views]
    assert seen == [(page, "p1"), (page, "p2"), ("https://other.example/", "p1"), ("-", "x" * 256)]


@TOKENS
def test_many_requests_of_one_viewer_are_one_question(delivery: Delivery, control: Control) -> None:
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(delivery.ask, within(GOOD, "/hls/demo.m3u8")) for _ in range(50)]
        assert {future.result()[0].status for future in asked} == {200}
    assert len(control.views) == 1


@TOKENS
@pytest.mark.parametrize("name", ["index.m3u8?_HLS_msn=18&_HLS_part=1", "18.1.m4s"])
def test_two_hundred_viewers_with_tokens_of_their_own_cost_the_packager_one_request(
    *, delivery: Delivery, control: Control, packager: Packager, name: str
) -> None:
    tokens = [f"{GOOD}{number}" for number in range(200)]
    control.verdicts |= dict.fromkeys(tokens, 204)
    with ThreadPoolExecutor(200) as pool:
        asked = [pool.submit(delivery.ask, within(token, f"{RUN}/{name}")) for token in tokens]
        packager.wait(1)
        packager.answer(f"/abc123/v720/{name.partition('?')[0]}", body=NEWS)
        answers = [future.result() for future in asked]
    assert {(answer.status, body) for answer, body in answers} == {(200, NEWS)}
    assert len(packager.asked) == 1
    assert len(control.views) == (200 if "m3u8" in name else 0)


@TOKENS
def test_who_waits_holds_up_nobody_else(delivery: Delivery, control: Control, packager: Packager) -> None:
    """One token, two playlists: the one that is held does not keep the other's question waiting."""
    control.verdicts[BAD] = 204
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(delivery.ask, within(GOOD, f"{RUN}/index.m3u8?_HLS_msn=18"))
        packager.wait(1)
        for token in (GOOD, BAD):
            assert delivery.ask(within(token, f"{RUN}/index.m3u8"))[0].status == 200
        packager.answer(INDEX, body=NEWS)
        answer, body = held.result()
    assert (answer.status, body) == (200, NEWS)
    assert answer.headers["Cache-Control"] == "private, max-age=12"


@TOKENS
@pytest.mark.parametrize(
    ("path", "cache"),
    [
        ("/hls/demo.m3u8", "private, no-cache"),
        (f"{RUN}/index.m3u8", "private, no-cache"),
        ("/hls/demo.jpg", "private, max-age=5"),
        (f"/hls/demo/keys/{KID}", "no-store"),
    ],
)
def test_no_cache_on_the_way_gives_it_to_others(delivery: Delivery, path: str, cache: str) -> None:
    assert delivery.ask(path, Cookie=f"view={GOOD}")[0].headers["Cache-Control"] == cache


@TOKENS
def test_without_a_packager_a_viewer_goes_on_with_the_file(delivery: Delivery) -> None:
    answer, body = delivery.ask(within(GOOD, f"{RUN}/index.m3u8?_HLS_msn=18"))
    assert (answer.status, body) == (200, PLAYLIST.encode())
    assert delivery.ask(within(BAD, f"{RUN}/index.m3u8?_HLS_msn=18"))[0].status == 401


@TOKENS
@pytest.mark.parametrize("path", PROTECTED)
def test_without_the_control_service_nobody_is_let_in(
    delivery: Delivery, control: Control, path: str
) -> None:
    control.verdicts[GOOD] = 500
    assert delivery.ask(path, Cookie=f"view={GOOD}")[0].status == 503
    control.shutdown()
    control.server_close()
    assert delivery.ask(within(BAD, path))[0].status == 503
    assert delivery.ask(FREE[0])[0].status == 200


@TOKENS
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/hls/none.m3u8", 404),
        (f"{RUN}/99.m4s", 404),
        ("/hls/demo/state.json", 404),
        (f"{RUN}/index.m3u8?_HLS_msn=x", 400),
        ("/auth/view", 404),
    ],
)
def test_what_is_not_there_is_not_there(delivery: Delivery, path: str, status: int) -> None:
    assert delivery.ask(path, Cookie=f"view={GOOD}")[0].status == status
    assert delivery.ask(within(GOOD, path))[0].status == status


@TOKENS
def test_a_preflight_request_needs_no_token(delivery: Delivery, control: Control) -> None:
    for path in ("/hls/demo.m3u8", within(BAD, "/hls/demo.m3u8")):
        answer, _ = delivery.ask(path, "OPTIONS", Origin="https://player.example")
        assert answer.status == 204
    assert delivery.ask("/hls/demo.m3u8", "HEAD", Cookie=f"view={GOOD}")[0].status == 200
    assert len(control.views) == 1


@TOKENS
@pytest.mark.parametrize("token", ["x", "a.b", "a.b.c d", GOOD.replace(".", "!"), GOOD + "a" * 2048])
def test_what_cannot_be_a_token_is_not_passed_on(delivery: Delivery, control: Control, token: str) -> None:
    assert delivery.ask("/hls/demo.m3u8", Cookie=f"view={token}")[0].status == 401
    assert delivery.ask("/hls/demo.m3u8", Authorization=f"Bearer {token}")[0].status == 401
    # asked about once: the answer is remembered
    assert [view["X-View-Token"] for view in control.views] == ["malformed"]


@TOKENS
def test_a_viewer_cannot_speak_for_delivery(delivery: Delivery, control: Control) -> None:
    sent = {"X_Stream": "other", "X_View_Token": GOOD, "X_Real_IP": "192.0.2.9"}
    answer, _ = delivery.ask("/hls/demo.m3u8", **sent)
    assert answer.status == 401
    [view] = control.views
    assert (view["X-Stream"], view.get("X-View-Token"), view["X-Real-IP"]) == ("demo", None, "127.0.0.1")


@TOKENS
def test_keys_are_asked_for_without_the_token(delivery: Delivery, control: Control) -> None:
    sent = {"Cookie": f"view={GOOD}", "Authorization": f"Bearer {GOOD}"}
    delivery.ask(within(GOOD, f"/hls/demo/keys/{KID}"), **sent)
    [asked] = control.asked
    assert GOOD not in json.dumps(asked)


@TOKENS
def test_a_stream_may_be_called_as_the_prefix_is(delivery: Delivery, control: Control) -> None:
    (delivery.media / "t" / "abc123" / "v720").mkdir(parents=True)
    (delivery.media / "t" / "abc123" / "v720" / "index.m3u8").write_text(PLAYLIST)
    (delivery.media / "t" / "index.m3u8").write_text(PLAYLIST)
    for path in ("/hls/t.m3u8", "/hls/t/abc123/v720/index.m3u8", f"/hls/t/keys/{KID}"):
        assert delivery.ask(path, Cookie=f"view={GOOD}")[0].status == 200
        assert delivery.ask(within(GOOD, path))[0].status == 200
    assert {view["X-Stream"] for view in control.views} == {"t"}


@pytest.mark.parametrize("settings", [ALL_LOGGED, {"delivery_access_log": "all"}])
@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/hls/t/TOKEN/demo.m3u8", "/hls/t/-/demo.m3u8"),
        ("/hls//t/TOKEN/demo/abc123/v720/17.m4s", "/hls/t/-/demo/abc123/v720/17.m4s"),
        ("/hls/t/TOKEN/demo/abc123/v720/99.m4s?x=TOKEN", "/hls/t/-/demo/abc123/v720/99.m4s"),
        ("/hls/t/%65TOKEN/demo.m3u8", "/hls/t/-/demo.m3u8"),
        ("/hls/t/TOKEN/a%0ab", "/hls/t/-/a\nb"),
        ("/hls/demo.m3u8?t=TOKEN", "/hls/demo.m3u8"),
        ("/hls/T/TOKEN/demo.m3u8", "-"),
        ("/hls/t/TOKEN", "-"),
        ("/t/TOKEN/demo.m3u8", "-"),
        ("/hls/t/TOKEN/t/TOKEN/demo.m3u8", "-"),
        ("/a%0a/TOKEN", "-"),
        ("/a%20b", "/a b"),
    ],
)
def test_a_token_reaches_no_log(delivery: Delivery, path: str, shown: str) -> None:
    asked = path.replace("TOKEN", GOOD)
    referrer = f"http://site.example/hls/t/{GOOD}/demo.m3u8"
    delivery.ask(asked, Cookie=f"view={GOOD}", Referer=referrer)
    entry = delivery.logged()
    assert (entry["uri"], entry["referrer"]) == (shown, "-")
    assert GOOD[:30] not in json.dumps(entry)
    assert GOOD[40:] not in json.dumps(entry)


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 204), ("POST", 405), ("HEAD", 200)])
@pytest.mark.parametrize("settings", [ALL_LOGGED])
def test_no_method_tells_the_token(delivery: Delivery, method: str, status: int) -> None:
    assert delivery.ask(within(GOOD, "/hls/demo.m3u8"), method)[0].status == status
    entry = delivery.logged()
    assert (entry["uri"], entry["stream"]) == ("/hls/t/-/demo.m3u8", "demo")


@TOKENS
def test_what_goes_wrong_is_told_without_the_token(delivery: Delivery, control: Control) -> None:
    """A packager that is gone, a control service that fails, files that cannot be opened."""
    control.verdicts[BAD] = 500
    for token in (GOOD, BAD):
        for name in ("index.m3u8?_HLS_msn=18", "18.0.m4s", "18.m4s", f"{'9' * 12}.m4s"):
            delivery.ask(within(token, f"{RUN}/{name}"))
    control.shutdown()
    control.server_close()
    delivery.ask(within(GOOD, f"/hls/demo/keys/{KID}"))
    delivery.ask(f"/hls/demo/keys/{KID}?token={GOOD}", Cookie=f"view={GOOD}")
    assert GOOD[:30] not in delivery.stderr.read_text()


@TOKENS
def test_no_answer_tells_the_token(delivery: Delivery) -> None:
    for path in [*PROTECTED, *FREE, "/hls/none.m3u8"]:
        answer, body = delivery.ask(within(GOOD, path))
        assert GOOD not in str(answer.headers)
        assert GOOD.encode() not in body
        assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", [*PROTECTED, *FREE])
def test_when_all_is_open_nobody_is_asked(delivery: Delivery, control: Control, path: str) -> None:
    for asked in (path, within(BAD, path)):
        assert delivery.ask(asked)[0].status == 200
    assert control.views == []


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"control_settings": {}}, 200),
        ({"control_settings": {"view_policy": "open"}}, 200),
        ({"control_settings": {"view_policy": "token"}}, 401),
    ],
)
def test_the_setting_decides_whether_anybody_is_asked(
    delivery: Delivery, control: Control, status: int
) -> None:
    assert delivery.ask("/hls/demo.m3u8")[0].status == status
    assert len(control.views) == (status == 401)
