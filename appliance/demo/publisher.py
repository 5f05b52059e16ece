"""The demo's encoder: FFmpeg publishes a test picture, or a file, for as long as it is wanted.

`start` puts a small loop into a session of its own and writes down which process that is; `stop` ends exactly
that process. The loop starts FFmpeg again whenever it ends: after a restart of ingest the stream comes back
without anybody's help, as with any real encoder.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import OperatorError
from appliance.lab import processes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

FRAMES_PER_SECOND = 30
RETRY_SECONDS = 0.5
"""Pause between two connections; a refused publisher must not hammer the ingest."""

STOP_SECONDS = 5.0


@dataclass(frozen=True)
class PublisherFiles:
    """Where the publisher is written down and where it reports."""

    folder: Path

    @property
    def state(self) -> Path:
        """Process id, its start time and what it publishes."""
        return self.folder / "demo-publisher.json"

    @property
    def log(self) -> Path:
        """What FFmpeg said."""
        return self.folder / "demo-publisher.log"


def test_picture(now: float) -> list[str]:
    """Return FFmpeg's input arguments for a moving picture with a burnt-in clock and a beep each second.

    The clock is read when a frame is made (`RTCTIME` in ffmpeg-filters(1), setpts), in UTC with milliseconds:
    it stays true however long the connection took; the frame numbers then give back even time stamps.

    Args:
        now: Unix time in seconds near the start; only its date matters.
    """
    day = int(now) - int(now) % 86400
    clock = rf"%{{pts\:gmtime\:{day}\:%Y-%m-%d %H\\\:%M\\\:%S}}.%{{eif\:mod(t*1000\,1000)\:d\:3}} UTC"
    box = "box=1:boxcolor=black@0.8:boxborderw=16"
    picture = ",".join(
        [
            f"testsrc2=size=1280x720:rate={FRAMES_PER_SECOND}",
            f"setpts=(RTCTIME-{day}*1000000)/(TB*1000000)",
            f"drawtext=text='{clock}':x=(w-text_w)/2:y=h-140:fontsize=56:fontcolor=white:{box}",
            f"setpts=N/({FRAMES_PER_SECOND}*TB)",
        ]
    )
    tone = "sine=frequency=330:beep_factor=4:sample_rate=48000,volume=0.3"
    return ["-re", "-f", "lavfi", "-i", picture, "-re", "-f", "lavfi", "-i", tone]


def file_input(path: Path) -> list[str]:
    """Return FFmpeg's input arguments for a file played over and over in real time."""
    return ["-stream_loop", "-1", "-re", "-i", str(path)]


def ffmpeg_command(url: str, source: Sequence[str]) -> list[str]:
    """Return the command that encodes `source` as H.264 and AAC, a keyframe every 2 s, and publishes it.

    Args:
        url: RTMP URL with the stream's name.
        source: FFmpeg's input arguments.
    """
    return [
        "ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning", *source,
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "main",
        "-pix_fmt", "yuv420p", "-force_key_frames", "expr:gte(t,n_forced*2)", "-sc_threshold", "0",
        "-b:v", "2500k", "-maxrate", "2800k", "-bufsize", "2500k",
        "-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2",
        "-f", "flv", "-flvflags", "no_duration_filesize", url,
    ]  # fmt: skip


def publish(url: str, path: Path | None) -> None:
    """Publish until SIGTERM; start FFmpeg again whenever it ends. The loop of the publisher's own process."""
    wanted = threading.Event()
    child: subprocess.Popen[bytes] | None = None

    def end(_number: int, _frame: FrameType | None) -> None:
        wanted.set()
        if child is not None:
            child.terminate()

    signal.signal(signal.SIGTERM, end)
    while not wanted.is_set():
        source = test_picture(time.time()) if path is None else file_input(path)
        child = subprocess.Popen(ffmpeg_command(url, source))
        code = child.wait()
        if not wanted.is_set():
            print(f"ffmpeg ended with {code}; connecting again", file=sys.stderr, flush=True)
            wanted.wait(RETRY_SECONDS)


def running(files: PublisherFiles) -> processes.Process | None:
    """Return the publisher's process, None when it does not run."""
    try:
        data = json.loads(files.state.read_text())
    except FileNotFoundError:
        return None
    process = processes.Process(int(data["pid"]), int(data["started"]))
    return process if process.alive else None


def source_of(files: PublisherFiles) -> str | None:
    """Return what the publisher was asked to publish: URL and file, None when it was never started."""
    try:
        data = json.loads(files.state.read_text())
    except FileNotFoundError:
        return None
    return str(data["source"])


def stop_other(files: PublisherFiles, url: str, path: Path | None) -> bool:
    """End a publisher of something else; False when there was none."""
    other = running(files) is not None and source_of(files) != source_text(url, path)
    return other and stop(files)


def source_text(url: str, path: Path | None) -> str:
    """Return how `source_of` names what is published."""
    return f"{url} {path or ''}".strip()


def start(files: PublisherFiles, url: str, path: Path | None) -> bool:
    """Start the publisher; False when it runs already. Another one is replaced.

    Raises:
        OperatorError: the process ended at once.
    """
    stop_other(files, url, path)
    if running(files) is not None:
        return False
    files.folder.mkdir(parents=True, exist_ok=True)
    with files.log.open("wb") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "appliance.demo.publisher", url, *([str(path)] if path else [])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    process = processes.identify(started.pid)
    if process is None:
        raise OperatorError("the demo's publisher ended at once", hint=f"see {files.log}")
    draft = files.state.with_suffix(".new")
    draft.write_text(
        json.dumps({"pid": process.pid, "started": process.started, "source": source_text(url, path)})
    )
    draft.replace(files.state)
    return True


def stop(files: PublisherFiles) -> bool:
    """End the publisher and its FFmpeg, and remove its files; False when it did not run."""
    process = running(files)
    if process is not None:
        # FFmpeg is in the loop's session, whose id stays when the loop has been killed
        family = [process, *session_members(process.pid)]
        processes.send([process], signal.SIGTERM)
        if not processes.wait(family, STOP_SECONDS):
            processes.stop(family, ask=signal.SIGKILL, seconds=STOP_SECONDS)
    elif (state := source_of(files)) is not None:
        pid = int(json.loads(files.state.read_text())["pid"])
        processes.stop([p for p in session_members(pid) if state.split()[0] in command_line(p)])
    files.state.unlink(missing_ok=True)
    files.log.unlink(missing_ok=True)
    return process is not None


def session_members(session: int) -> list[processes.Process]:
    """Return the processes of a session (field 6 of proc_pid_stat(5)), its leader left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == session:
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and (process := processes.identify(int(entry.name))):
            found.append(process)
    return found


def command_line(process: processes.Process) -> list[str]:
    """Return the arguments of a process, none once it has ended."""
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


if __name__ == "__main__":
    publish(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None)
