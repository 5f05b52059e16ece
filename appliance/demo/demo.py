"""One host, one live stream: what `make demo` and `make down` do.

from appliance.demo.demo import down, up

facts = up(say=print, step=print)      # lab host, site.yml, publisher, proof; repeats change nothing
print(facts.hls_url)
down(say=print)
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.demo import packages, proof, publisher, site
from appliance.errors import EX_DATAERR, EX_USAGE, OperatorError
from appliance.lab import lab, state
from appliance.lab.checkout import find_checkout
from appliance.lab.command import require
from appliance.lab.state import locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from appliance.demo.proof import Proof


LAB = "demo"
HOST = "origin"
STREAM = "demo"


@dataclass(frozen=True)
class Facts:
    """Where the demo's stream is, as `.demo.json` and the table say it."""

    rtmp_url: str
    """The application; an encoder appends the stream, or names it as its stream key."""
    stream: str
    key: str
    """Publishing secret; empty in the simple mode, where the stream's name is all that is asked for."""
    hls_url: str
    watch_url: str
    """The page that plays it."""
    health_url: str
    stat_url: str
    host: str
    """Address of the host."""
    ssh: str
    """Command prefix, quoted for a shell: what is appended runs on the host."""


def facts_of(host: lab.Host) -> Facts:
    """Return where everything of the demo is."""
    web = f"http://{host.address}:8080"
    return Facts(
        rtmp_url=f"rtmp://{host.address}/live",
        stream=STREAM,
        key="",
        hls_url=f"{web}/hls/{STREAM}.m3u8",
        watch_url=f"{web}/watch/{STREAM}",
        health_url=f"{web}/health",
        stat_url=f"{web}/stat",
        host=host.address,
        ssh=shlex.join(host.ssh),
    )


def _facts_file() -> Path:
    return find_checkout() / ".demo.json"


def _files() -> publisher.PublisherFiles:
    return publisher.PublisherFiles(find_checkout() / ".lab")


def input_path() -> Path | None:
    """Return the file named by DEMO_INPUT, None for the test picture.

    Raises:
        OperatorError: it is no file.
    """
    named = os.environ.get("DEMO_INPUT", "")
    if not named:
        return None
    path = Path(named).expanduser().resolve()
    if not path.is_file():
        raise OperatorError(
            f"DEMO_INPUT={named} is not a file",
            exit_code=EX_USAGE,
            hint="make demo DEMO_INPUT=/path/to/video.mp4",
        )
    return path


def check_video(path: Path) -> None:
    """See that FFmpeg finds moving pictures in a file; the proof counts them.

    Raises:
        OperatorError: it finds none.
    """
    asked = ["ffprobe", "-v", "error", "-of", "json",
             "-show_entries", "format=format_name:stream=codec_type:stream_disposition=attached_pic",
             str(path)]  # fmt: skip
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0 and has_video(done.stdout):
        return
    said = (done.stderr.strip().splitlines() or ["ffprobe finds no video stream in it"])[-1]
    raise OperatorError(
        f"DEMO_INPUT={path} is no video: {said}",
        exit_code=EX_DATAERR,
        hint="make demo DEMO_INPUT=/path/to/video.mp4, or without it for a test picture",
    )


def has_video(probed: str) -> bool:
    """Whether ffprobe's JSON lists a video stream; a cover picture, or text drawn as a terminal, is none."""
    found = json.loads(probed)
    return found.get("format", {}).get("format_name") != "tty" and any(
        stream.get("codec_type") == "video" and not stream.get("disposition", {}).get("attached_pic")
        for stream in found.get("streams", [])
    )


def up(*, say: Callable[[str], None], step: Callable[[str], None]) -> tuple[Facts, Proof]:
    """Bring the demo up, or see that it is: host, site, publisher, proof.

    Args:
        say: called with each line worth keeping.
        step: called with what is going on right now.

    Raises:
        OperatorError: a step failed; what is up by then stays up, and the next run goes on from there.
    """
    require("ffmpeg", "ffprobe")
    path = input_path()
    if path:
        check_video(path)
    with _only_run():
        return _up(path, say, step)


def _only_run() -> AbstractContextManager[None]:
    """Hold the demo's lock; it is separate from the lab's, which is free while the site is applied."""
    return locked(_lock_file(), what="the demo", seconds=0, keep=lambda: False)


def _lock_file() -> Path:
    # no lab's: the name of a lab begins with a letter
    return find_checkout() / ".lab" / ".demo.lock"


def _up(path: Path | None, say: Callable[[str], None], step: Callable[[str], None]) -> tuple[Facts, Proof]:
    checkout = find_checkout()
    files = _files()
    found = lab.up([HOST], lab=LAB, say=say).host(HOST)
    facts = facts_of(found)
    downloads = packages.Packages(checkout / ".cache" / "lab" / "packages", found.ssh)
    downloads.offer(say)
    say("provisioning it with playbooks/site.yml")
    changed = site.apply(checkout, files.folder / "demo-site.log", say, step)
    say(f"the site is applied: {changed} tasks changed something")
    if changed:
        downloads.keep(say)
    publish_url = f"{facts.rtmp_url}/{facts.stream}"
    if publisher.stop_other(files, publish_url, path):
        say(f"the input changed: publishing {path or 'the test picture'} from now on")
    before = proof.runs(facts.hls_url)
    began = publisher.start(files, publish_url, path)
    step("waiting for the stream to play")
    proved = proof.prove(facts.hls_url, before=before if began else None)
    draft = _facts_file().with_suffix(".new")
    draft.write_text(json.dumps(asdict(facts), indent=2) + "\n")
    draft.replace(_facts_file())
    return facts, proved


def down(*, say: Callable[[str], None]) -> bool:
    """End the publisher, remove the host and what was written about them; False when there was nothing."""
    with _only_run():
        return _down(say)


def _down(say: Callable[[str], None]) -> bool:
    site.end_orphans(find_checkout())
    _facts_file().unlink(missing_ok=True)
    files = _files()
    published = publisher.stop(files)
    if published:
        say("stopped the publisher")
    (files.folder / "demo-site.log").unlink(missing_ok=True)
    return lab.down(LAB, say=say) or published


@dataclass(frozen=True)
class Status:
    """What of the demo is up."""

    host: bool
    publisher: bool
    plays: bool
    facts: Facts | None
    run: int | None = None
    """Process id of the `demo up` or `demo down` that works on it right now."""

    @property
    def up(self) -> bool:
        """Whether all of it is."""
        return self.host and self.publisher and self.plays


def status() -> Status:
    """Return what of the demo is up; asks the host for its playlist, changes nothing."""
    holder = state.holder(_lock_file())
    run = holder.pid if holder else None
    found = lab.status(LAB)
    hosts = [host for host in found.hosts if host.name == HOST and host.running] if found else []
    publishing = publisher.running(_files()) is not None
    if not hosts:
        return Status(host=False, publisher=publishing, plays=False, facts=None, run=run)
    facts = facts_of(hosts[0])
    code, text = proof.fetch(facts.hls_url)
    plays = code == 200 and "#EXTM3U" in text
    return Status(host=True, publisher=publishing, plays=plays, facts=facts, run=run)
