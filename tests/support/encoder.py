"""A publisher: FFmpeg sends the test picture to the ingest."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from fractions import Fraction
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

    @property
    def fps(self) -> Fraction:
        """Pictures per second."""
        return Fraction(self.rate)

    def arguments(self) -> list[str]:
        """Return FFmpeg's inputs and encoder options."""
        inputs: list[str] = []
        options: list[str] = []
        if self.video:
            inputs += ["-re", "-f", "lavfi", "-i", video_source(self.width, self.height, self.rate)]
            options += [
                "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-crf", "20",
                "-maxrate", "1500k", "-bufsize", "1500k",
                "-g", str(round(self.fps * Fraction(self.gop_seconds))), "-sc_threshold", "0",
            ]  # fmt: skip
        if self.channels:
            inputs += ["-re", "-f", "lavfi", "-i", audio_source(self.channels)]
            options += ["-c:a", "aac", "-b:a", f"{64 * self.channels}k"]
        return [*inputs, *options, "-f", "flv"]


class Publisher:
    """A running publisher; leaving the `with` block ends it as an encoder's stop button does."""

    def __init__(self, url: str, sent: Signal) -> None:
        self.url = url
        self.sent = sent
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["ffmpeg", "-hide_banner", "-nostdin", "-v", "error", *self.sent.arguments(), self.url],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

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
