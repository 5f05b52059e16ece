"""A publisher: FFmpeg sends the test picture to the ingest."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.pictures import audio_source, video_source


@dataclass(frozen=True)
class Signal:
    """What is published."""

    width: int = 320
    height: int = 180
    rate: str = "25"
    """Pictures per second, a number or a fraction."""
    video: bool = True
    channels: int = 2
    """Channels of the sound, 0 for none."""
    gop_seconds: float = 2.0
    level: str = ""
    """H.264 level that the stream claims; empty for the one it has. Above 4.2 the source is never copied."""

    @property
    def fps(self) -> Fraction:
        """Pictures per second."""
        return Fraction(self.rate)

    def arguments(self, *, filters: Sequence[str] = ()) -> list[str]:
        """Return FFmpeg's inputs, `filters` over them, and its encoder options."""
        inputs: list[str] = []
        options: list[str] = []
        if self.video:
            picture = video_source(self.width, self.height, self.rate)
            inputs += ["-re", "-f", "lavfi", "-i", picture]
            options += [
                "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-crf", "20",
                "-maxrate", "1500k", "-bufsize", "1500k",
                "-g", str(round(self.fps * Fraction(self.gop_seconds))), "-sc_threshold", "0",
            ]  # fmt: skip
            options += ["-level:v", self.level] if self.level else []
        if self.channels:
            inputs += ["-re", "-f", "lavfi", "-i", audio_source(self.channels)]
            options += ["-c:a", "aac", "-b:a", f"{64 * self.channels}k"]
        return [*inputs, *filters, *options, "-f", "flv"]


@dataclass(frozen=True)
class Clip:
    """A file that is published over and over as it is, which costs the publisher next to nothing."""

    path: Path

    def arguments(self) -> list[str]:
        """Return FFmpeg's input and options."""
        return ["-re", "-stream_loop", "-1", "-i", str(self.path), "-c", "copy", "-f", "flv"]


class Publisher:
    """A running publisher; leaving the `with` block ends it as an encoder's stop button does."""

    def __init__(self, url: str, sent: Signal | Clip) -> None:
        self.url = url
        self.sent = sent
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._start("error", self.sent.arguments())
        return self

    def _start(self, level: str, arguments: list[str]) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            ["ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-v", level, *arguments, self.url],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self._process

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def connected(self) -> bool:
        """Whether it still publishes: FFmpeg ends when its connection does."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Say goodbye and end."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)  # does nothing to one that has ended
            if self._process.stderr and not self._process.stderr.closed:
                self._process.communicate(timeout=10)

    def wait_refused(self, seconds: float) -> str:
        """Wait until it has ended by itself; return what it said.

        Raises:
            subprocess.TimeoutExpired: it still publishes.
        """
        assert self._process is not None
        _, said = self._process.communicate(timeout=seconds)
        assert self._process.returncode != 0, "it was not refused"
        return said


class ClockedPublisher(Publisher):
    """A publisher that says when each picture was made: from there a latency is measured."""

    _SHOWN = re.compile(r"\bn: *([0-9]+) pts: *([0-9]+) ")

    def __init__(self, url: str, sent: Signal) -> None:
        super().__init__(url, sent)
        self._signal = sent
        self.made_at: dict[int, float] = {}
        """Unix time, s, of each picture by its number, as it reached the encoder."""
        self._reading: threading.Thread | None = None

    def __enter__(self) -> Self:
        # A copy of each picture goes nowhere but past a filter that prints the time of day. It stands behind
        # the inputs, which one clock paces: sound that were late would hold the pictures up on their way out.
        clock = "[0:v]split[out][copy];[copy]settb=1/1000000,setpts=RTCTIME,showinfo=checksum=0,nullsink"
        sound = ["-map", "1:a"] if self._signal.channels else []
        arguments = self._signal.arguments(filters=["-filter_complex", clock, "-map", "[out]", *sound])
        process = self._start("info", arguments)
        self._reading = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reading.start()
        return self

    def stop(self) -> None:
        """Say goodbye and end."""
        if self._process is not None and self._reading is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)
            self._reading.join(10)
            if self._process.stderr:
                self._process.stderr.close()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            found = self._SHOWN.search(line)
            if found:
                self.made_at[int(found[1])] = int(found[2]) / 1e6
