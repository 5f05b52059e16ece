"""What a viewer sees of a stream on the player page, in a real browser."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.browser import FOLDER
from tests.support.player_page import BEHIND, FIRST_PICTURE, LIVE, PICTURES, TITLE, VIDEO, plays_on, weight

from .conftest import TOP, token

if TYPE_CHECKING:
    from tests.support.driven import Browser

    from .conftest import House, OtherSite

EXAMPLES: Final = TOP / "examples" / "player"
EXAMPLE_HOST: Final = "https://live.example.org:8443"
"""In the examples; of the reader's own."""

NODE_MODULES: Final = FOLDER / "node_modules"

MOST_BYTES = 250_000
MOST_FIRST_PICTURE_SECONDS = 6.0
MOST_BEHIND_SECONDS = 3.0
"""On a machine that does much else; by itself, it is half of that. `make bench` measures the settings."""
STEADY_SECONDS = 30
"""As the page has it."""


def playlists(browser: Browser) -> list[str]:
    """Return what was asked for to find out about the stream."""
    return [url for url in browser.seen()["asked"] if "/hls/" in url]


def test_it_plays_the_encrypted_stream_with_low_latency(house: House, browser: Browser) -> None:
    browser.open("about:blank")  # a browser's own start is not the page's
    browser.open(house.watch())
    browser.until(LIVE)
    first = browser.evaluate(FIRST_PICTURE)
    plays_on(browser)
    behind = browser.evaluate(BEHIND)
    browser.until("document.querySelector('.live').classList.contains('now')")
    browser.picture(PICTURES / "playing.png")
    seen, weighs = browser.seen(), weight(browser)
    print(f"first picture within {first:.2f} s, {behind} s behind, {weighs:,} bytes before media")
    assert any("/keys/" in url for url in seen["asked"])
    assert any("_HLS_msn=" in url for url in seen["asked"])
    assert (seen["violations"], seen["errors"]) == ([], [])
    assert weighs < MOST_BYTES
    assert first < MOST_FIRST_PICTURE_SECONDS
    assert behind < MOST_BEHIND_SECONDS
    assert browser.axe() == []


def test_sound_is_offered_and_another_quality_switched_to(house: House, browser: Browser) -> None:
    browser.open(house.watch())
    browser.until(f"{LIVE} && {VIDEO}.videoWidth === 640")
    assert browser.evaluate(f"{VIDEO}.muted")
    browser.click(".sound-on")
    assert not browser.evaluate(f"{VIDEO}.muted")
    assert browser.evaluate("document.querySelector('.sound-on').hidden")
    browser.select(".menu[title=Quality]", "180p")
    browser.until(f"{VIDEO}.videoWidth === 320")
    browser.select(".menu[title=Quality]", "360p")
    browser.until(f"{VIDEO}.videoWidth === 640")
    plays_on(browser)


def test_keys_seek_in_the_window_and_a_button_goes_live(house: House, browser: Browser) -> None:
    browser.open(house.watch())
    browser.until(f"{LIVE} && !document.querySelector('.timeline').hidden")
    browser.press("ArrowLeft")
    browser.press("ArrowLeft")
    browser.until(f"{BEHIND} > 8")
    assert browser.evaluate("document.querySelector('.live .word').textContent") == "Go live"
    plays_on(browser)
    browser.click(".live")
    browser.until(f"{BEHIND} < {MOST_BEHIND_SECONDS}")
    browser.press("k")
    assert browser.evaluate(f"{VIDEO}.paused")
    browser.press("m")
    assert not browser.evaluate(f"{VIDEO}.muted")
    browser.press("s")
    told = browser.evaluate("document.querySelector('.statistics').textContent")
    assert "hls.js" in told
    assert browser.axe() == []
    browser.picture(PICTURES / "statistics.png")
    browser.press("k")
    plays_on(browser)


def test_it_waits_out_a_reconnect_and_an_end(house: House, browser: Browser) -> None:
    browser.open(house.watch())
    browser.until(LIVE)
    house.stream.tell("break")
    browser.until(f"{TITLE} === 'The picture has stopped'")
    assert browser.evaluate("document.querySelector('.notice').getAttribute('role')") == "status"
    browser.picture(PICTURES / "interrupted.png")
    house.stream.tell("go on")
    plays_on(browser)
    house.stream.tell("end")
    browser.until(f"{TITLE} === 'The stream is over'")
    house.stream.tell("go on")  # a new stream of the same name
    plays_on(browser)
    assert browser.seen()["violations"] == []


def test_a_picture_that_stood_still_costs_no_latency_for_good(house: House, browser: Browser) -> None:
    wanted = "parseFloat(document.querySelector('.statistics').textContent.split('wanted ')[1])"
    browser.open(house.watch())
    browser.until(LIVE)
    browser.press("s")
    first = browser.evaluate(wanted)
    house.stream.tell("break")
    browser.until(f"{wanted} > {first}")
    house.stream.tell("go on")
    plays_on(browser)
    browser.until(f"{wanted} === {first}", STEADY_SECONDS + 20)


@pytest.mark.parametrize(
    ("name", "status", "seconds", "title"),
    [
        ("bad", 401, 3600, "This stream needs a valid link"),
        ("old", 401, -60, "Your link has expired"),
        ("unpaid", 402, 3600, "This stream has to be paid for"),
        ("foreign", 403, 3600, "You cannot watch this stream here"),
    ],
)
def test_a_refusal_is_explained_and_not_asked_again(
    *, house: House, browser: Browser, name: str, status: int, seconds: float, title: str
) -> None:
    house.control.verdicts[name] = status
    browser.open(house.watch(token=token(name, seconds)), scheme="light", width=390, height=844)
    browser.until(f"{TITLE} === '{title}'")
    browser.picture(PICTURES / f"refused-{name}.png")
    assert len(playlists(browser)) == 1
    assert status != 401 or browser.axe() == []
    # Once it is mended, a button is enough.
    house.control.verdicts[name] = 204
    retry = "document.querySelector('.notice button')"
    assert browser.evaluate(f"{retry}.click(), {retry}.hidden")
    # The refusal is remembered for a second.
    browser.until(f"{retry}.hidden ? {LIVE} : {retry}.click()")


def test_what_is_no_token_is_sent_to_nobody(house: House, browser: Browser) -> None:
    browser.open(house.watch("demo#../../x"))
    browser.until(f"{TITLE} === 'This stream needs a valid link'")
    assert playlists(browser) == []


def test_a_stream_that_has_not_begun_is_waited_for_with_patience(house: House, browser: Browser) -> None:
    browser.open(house.watch("nothing"))
    browser.until(f"{TITLE} === 'The stream has not begun'")
    browser.picture(PICTURES / "waiting.png")
    assert browser.axe() == []
    # How long it waits, without waiting for it: later and later, half of it by chance.
    waits = browser.evaluate(
        "import('/watch/-/backoff.js').then(({ Backoff, WAITING }) => [0, 0.999].map((chance) => {"
        "const backoff = new Backoff(() => chance);"
        "return Array.from({ length: 12 }, () => backoff.next(WAITING)) }))"
    )
    assert waits[0][0] == pytest.approx(0.5)
    assert waits[0][-1] == pytest.approx(5)
    assert waits[1][-1] == pytest.approx(10, abs=0.01)
    assert all(short <= long for short, long in zip(*waits, strict=True))
    asked = browser.evaluate(
        "import('/watch/-/backoff.js').then(({ Backoff, WAITING }) => new Backoff(() => 0).next(WAITING, 30))"
    )
    assert asked == 30  # Retry-After


def test_what_plays_it_is_asked_for_until_it_comes(house: House, browser: Browser) -> None:
    library = house.root / "page" / "hls.js.gz"
    library.rename(library.with_suffix(".away"))
    try:
        browser.open(house.watch())
        browser.until(f"{TITLE} === 'No connection'")
    finally:
        library.with_suffix(".away").rename(library)
    browser.until(LIVE)


def test_who_was_stopped_says_nothing_more(house: House, browser: Browser) -> None:
    """A timer that runs while the picture stands is as quiet as everything else: a page has let go of it."""
    browser.open(house.watch("nothing"))
    said = browser.evaluate(
        "import('/watch/-/live-player.js').then(({ LivePlayer }) => {"
        "const later = [], said = [], real = globalThis.setTimeout;"
        "const video = document.createElement('video');"
        "const player = new LivePlayer(video, { stream: 'nothing' });"
        "player.addEventListener('state', () => said.push(player.state.name));"
        "player.say('playing');"
        "globalThis.setTimeout = (done) => later.push(done);"
        "video.dispatchEvent(new Event('waiting'));"
        "globalThis.setTimeout = real;"
        "player.destroy(); later.pop()(); player.say('over');"
        "return said })"
    )
    assert said == ["playing"]


def test_safaris_player_is_left_alone_while_the_picture_goes_on(house: House, browser: Browser) -> None:
    """`stalled` says that nothing comes in (HTML, events of media elements), not that the picture stands."""
    browser.open(house.watch("nothing"))
    told = browser.evaluate(
        "import('/watch/-/native-engine.js').then(async ({ nativeEngine }) => {"
        "const later = [], told = [], real = globalThis.setTimeout;"
        "const like = { currentTime: 5, paused: false, load() {}, removeAttribute() {} };"
        "const video = Object.assign(new EventTarget(), like);"
        "globalThis.setTimeout = (done) => later.push(done);"
        "const engine = nativeEngine(video, { url: '', trouble: (reason) => told.push(reason) });"
        "engine.outcome.then(({ broken }) => told.push(broken));"
        "video.dispatchEvent(new Event('stalled')); video.currentTime = 6; later.pop()();"
        "video.dispatchEvent(new Event('waiting')); later.pop()();"
        "video.currentTime = 7; engine.resume();"
        "video.dispatchEvent(new Event('waiting')); later.pop()(); engine.resume();"
        "globalThis.setTimeout = real;"
        "await engine.outcome; return told })"
    )
    assert told == ["unavailable", "unavailable", "stood still"]


def test_a_link_that_ends_is_noticed_in_the_middle(house: House, browser: Browser) -> None:
    house.control.verdicts["ending"] = 204
    browser.open(house.watch(token=token("ending", 1)))
    browser.until(LIVE)
    plays_on(browser)
    house.control.verdicts["ending"] = 401
    browser.until(f"{TITLE} === 'Your link has expired'")


def test_a_token_is_in_no_log_and_no_referrer(house: House, browser: Browser) -> None:
    house.control.verdicts["secret"] = 204
    secret = token("secret")
    browser.open(f"http://127.0.0.1:{house.port}/watch/t/{secret}/demo")
    browser.until(LIVE)
    assert browser.evaluate("location.pathname + location.hash") == f"/watch/demo#{secret}"
    seen = browser.seen()
    assert {each["referrer"] for each in seen["requests"]} == {""}
    assert seen["errors"] == []
    browser.press("s")
    assert secret not in browser.evaluate("document.body.innerText")
    log = (house.root / "access.log").read_text()
    assert '"uri":"/watch/t/-/demo"' in log
    assert secret.split(".")[0] not in log


def media_asked(browser: Browser) -> bool:
    return any(".m4s" in url for url in browser.seen()["asked"])


def frame(house: House) -> str:
    return (
        f'<!doctype html><title>Another site</title><iframe width="640" height="360" src="{house.watch()}">'
    )


def test_pages_of_named_sites_may_show_it(house: House, browser: Browser, other_site: OtherSite) -> None:
    other_site.pages["/"] = frame(house)
    browser.open(f"http://127.0.0.1:{other_site.port}/")
    deadline = time.monotonic() + 20
    while not media_asked(browser):
        assert time.monotonic() < deadline, browser.seen()
        time.sleep(0.1)
    browser.picture(PICTURES / "framed.png")


def test_pages_of_other_sites_may_not(house: House, browser: Browser, other_site: OtherSite) -> None:
    other_site.pages["/"] = frame(house)
    browser.open(f"http://localhost:{other_site.port}/")
    seen = browser.seen()
    assert any("frame-ancestors" in error for error in seen["errors"]), seen
    assert not media_asked(browser)


def test_the_plain_example_plays_from_another_site(
    house: House, browser: Browser, other_site: OtherSite
) -> None:
    house.control.verdicts["guest"] = 204
    text = (EXAMPLES / "plain" / "index.html").read_text()
    other_site.pages["/page"] = text.replace(EXAMPLE_HOST, house.origin)
    browser.open(f"http://localhost:{other_site.port}/page?stream=demo&token={token('guest')}")
    plays_on(browser)
    assert browser.seen()["errors"] == []


def test_the_react_example_plays_and_goes(house: House, browser: Browser, other_site: OtherSite) -> None:
    other_site.pages |= {
        f"/{name}.js": (NODE_MODULES / name / "umd" / f"{name}.production.min.js").read_text()
        for name in ("react", "react-dom")
    }
    other_site.pages["/names.js"] = "export const { createElement, useEffect, useRef } = globalThis.React;"
    other_site.pages["/LivePlayer.js"] = (EXAMPLES / "react" / "LivePlayer.js").read_text()
    imports = {"react": "/names.js", "appliance-player": f"{house.origin}/watch/-/mount.js"}
    other_site.pages["/"] = f"""<!doctype html><title>React</title><div id="app"></div>
        <script src="/react.js"></script><script src="/react-dom.js"></script>
        <script type="importmap">{json.dumps({"imports": imports})}</script>
        <script type="module">
        import {{ LivePlayer }} from "/LivePlayer.js";
        const tell = (state) => {{ document.title = state.name; }};
        const app = ReactDOM.createRoot(document.querySelector("#app"));
        const what = {{ host: "{house.origin}", stream: "demo", onState: tell }};
        app.render(React.createElement(LivePlayer, what));
        globalThis.leave = () => app.unmount();
        </script>"""
    browser.open(f"http://localhost:{other_site.port}/")
    plays_on(browser)
    assert browser.evaluate("document.title") == "playing"
    browser.evaluate("leave()")
    browser.until("document.querySelector('.player') === null")
    assert browser.seen()["errors"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(house: House, browser: Browser, scheme: str) -> None:
    browser.open(house.watch(), width=360, height=740, scheme=scheme)
    browser.until(LIVE)
    plays_on(browser)
    assert browser.evaluate("document.documentElement.scrollWidth") == 360
    outside = browser.evaluate(
        "[...document.querySelectorAll('.row > *')].filter((each) => each.getBoundingClientRect().right > 360"
        " || (each.offsetWidth && each.scrollWidth > each.offsetWidth + 1)).map((each) => each.outerHTML)"
    )
    assert outside == []
    assert browser.axe() == []
    browser.picture(PICTURES / f"phone-{scheme}.png")
