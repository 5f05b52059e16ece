"""The one FFmpeg command line of a stream: FLV in, one decode, every rung and the audio out on pipes of
their own.

Why each flag stands here is said beside it; they were measured with FFmpeg 5.1 and 7.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.media.encode.encoder import CODECS, NVENC_GPU
from appliance.media.encode.thumbnails import THUMBNAIL
from appliance.media.package.parts import fragment_seconds
from appliance.media.package.rendition import AUDIO_RENDITION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.media.encode.encoder import EncoderChoice
    from appliance.media.encode.ladder import EncoderSettings
    from appliance.media.encode.rungs import PlannedRung
    from appliance.media.encode.source import Source
    from appliance.settings import Container

MEDIA_START_S: Final = 10
"""Media time of a run's first keyframe. Well above zero, so that audio's encoder delay and the timestamps of
B-frames never become negative: the muxer would shift that track alone, and sound and picture would part."""

AUDIO_RATE: Final = 48_000
VIDEO_TICKS: Final = 90_000

_TIMESCALE: Final = ("-video_track_timescale", str(VIDEO_TICKS))
"""One for all runs: players that keep the first init section read every later time by its timescale."""

_FRAGMENT_FLAGS: Final = (
    "+cmaf+empty_moov+default_base_moof+skip_trailer+delay_moov+frag_keyframe+frag_discont"
)
_ONE_FRAME_S: Final = 1e-6
"""What is shorter than any frame makes each frame a fragment."""

_PROBE_US: Final = 100_000
_SINGLE_THREAD_PIXELS: Final = 1920 * 1088 * 60.5
"""Pixels per second that one thread decodes with ease (a tenth of a core at 1080p60 30 fps); each further
decoder thread holds one more frame back."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What one run of FFmpeg makes of a source. Times are seconds.

    `begin_s` is where output begins, after the first frame that comes in: what lies before is only decoded.
    `thumbnail_seconds` is the distance of the thumbnails; 0 makes none. `gpu_decodes` keeps pictures on the
    GPU from NVDEC over scaling to NVENC. Decoding and scaling ran on an H200, which has no NVENC: the last
    step has never run. `container` is what the segments become that are cut from the output.
    """

    source: Source
    rungs: tuple[PlannedRung, ...]
    encoder: EncoderChoice
    segment_seconds: float
    part_seconds: float
    begin_s: float = 0
    thumbnail_seconds: float = 0
    gpu_decodes: bool = False
    container: Container = "fmp4"

    @property
    def copies(self) -> bool:
        """Whether the source itself is a rung, whose keyframes the others take."""
        return any(rung.copied for rung in self.rungs)

    @property
    def text(self) -> str:
        """The rungs in one line, for people."""
        names = [
            f"{rung.name} {rung.width}x{rung.height}{' copied' if rung.copied else ''}" for rung in self.rungs
        ]
        return ", ".join(names) or "audio only"

    @property
    def encoded(self) -> tuple[PlannedRung, ...]:
        """The rungs that are encoded."""
        return tuple(rung for rung in self.rungs if not rung.copied)

    @property
    def renditions(self) -> tuple[str, ...]:
        """Names of what is packaged, in the command's order: the rungs, then the audio."""
        audio = (AUDIO_RENDITION,) if self.source.audio else ()
        return (*(rung.name for rung in self.rungs), *audio)

    @property
    def thumbnails(self) -> bool:
        """Whether thumbnails are made."""
        return bool(self.rungs) and self.thumbnail_seconds > 0

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all outputs in the command's order: the renditions, then the thumbnails."""
        return (*self.renditions, THUMBNAIL) if self.thumbnails else self.renditions


def ffmpeg_command(
    plan: RunPlan, *, outputs: Sequence[int], progress: int, ffmpeg: str = "ffmpeg"
) -> list[str]:
    """Returns the command line. `outputs` are the pipes' descriptors in the order of `plan.outputs`.

    Raises ValueError when their number differs from the plan's or there is nothing to encode.
    """
    if len(outputs) != len(plan.outputs) or not outputs:
        raise ValueError(f"{len(outputs)} outputs for the outputs {plan.outputs}")
    pipes = dict(zip(plan.outputs, outputs, strict=True))
    command = [ffmpeg, "-hide_banner", "-loglevel", "level+warning", "-nostats"]
    command += ["-stats_period", "1", "-progress", f"pipe:{progress}"]
    command += _input(plan)
    if filters := _filters(plan):
        command += ["-filter_complex", ";".join(filters)]
    for rung in plan.rungs:
        output = _copied_output() if rung.copied else _video_output(plan, rung)
        command += output + fragments_to(pipes[rung.name], fragment_seconds(plan.part_seconds))
    if plan.source.audio:
        bitrate = max((rung.audio_kbps for rung in plan.rungs), default=128)
        command += ["-map", f"[{AUDIO_RENDITION}]", "-c:a", "aac", "-b:a", f"{bitrate}k"]
        # What is muxed with pictures is cut where they are, to the frame.
        muxed = plan.container == "mpegts" and plan.rungs
        seconds = _ONE_FRAME_S if muxed else fragment_seconds(plan.part_seconds)
        command += fragments_to(pipes[AUDIO_RENDITION], seconds)
    if plan.thumbnails:
        command += _thumbnail_output(plan, pipes[THUMBNAIL])
    return command


def _copied_output() -> list[str]:
    # The filter repeats the parameter sets before each keyframe, as `_encoder` does.
    return [*("-map", "0:v:0", "-c:v", "copy", "-bsf:v", "h264_mp4toannexb"), *_TIMESCALE]


def _thumbnail_output(plan: RunPlan, descriptor: int) -> list[str]:
    # A graph of its own: FFmpeg 7.1 holds back all outputs of a graph until the slowest of them has a frame.
    smallest = plan.rungs[-1]
    sparse = f"select='isnan(prev_selected_t)+gte(t-prev_selected_t,{plan.thumbnail_seconds:g})'"
    scale = f"scale={smallest.width}:{smallest.height}:out_range=full,setsar=1"
    if plan.gpu_decodes:
        scale = f"hwdownload,format=nv12,{scale}"
    return [
        *("-map", "0:v:0", "-vf", f"{sparse},{scale}", "-fps_mode", "vfr"),
        # JPEG has no format of its own for the full range any more; the encoder still calls the new way
        # unofficial.
        *("-c:v", "mjpeg", "-pix_fmt", "yuv420p", "-strict", "unofficial", "-q:v", "5"),
        # Each thread would hold a picture back until the next comes, ten seconds later; so would the buffer.
        *("-threads:v", "1"),
        *("-flush_packets", "1", "-f", "image2pipe", f"pipe:{descriptor}"),
    ]


def _input(plan: RunPlan) -> list[str]:
    source = plan.source
    threads: list[str] = []
    if source.video:
        pixels = source.video.width * source.video.height * float(source.fps or 30)
        threads = ["-threads", "1" if pixels <= _SINGLE_THREAD_PIXELS else "4"]
        if plan.gpu_decodes:
            threads = ["-hwaccel", "cuda", "-hwaccel_output_format", "cuda"]
        if not plan.encoded:
            # Thumbnails alone need no more than keyframes.
            threads += ["-skip_frame", "nokey"]
    return [
        *threads,
        # Timestamps pass through as the FLV has them: media time is known here, not guessed from the first
        # packet.
        "-copyts",
        # The headers come first and the metadata names the frame rate, so the probe needs no frames for it;
        # it ends after 0.1 s of media. No `nobuffer`: that drops the probed packets.
        *("-fpsprobesize", "0", "-analyzeduration", str(_PROBE_US)),
        *("-f", "flv", "-i", "pipe:0"),
    ]


def _filters(plan: RunPlan) -> list[str]:
    filters: list[str] = []
    begin = MEDIA_START_S + plan.begin_s
    if plan.encoded:
        copies = "".join(f"[in{index}]" for index in range(len(plan.encoded)))
        late = f"trim=start={begin:.3f}," if plan.begin_s else ""
        filters.append(f"[0:v:0]{late}split={len(plan.encoded)}{copies}")
    for index, rung in enumerate(plan.encoded):
        steps = [_thin(plan, rung)] if rung.every > 1 else []
        if plan.gpu_decodes:
            # Frames stay in the GPU's memory: `format` and `scale` would need them in the host's.
            steps += [f"scale_cuda={rung.width}:{rung.height}:format=yuv420p", "setsar=1"]
        else:
            steps += [f"scale={rung.width}:{rung.height}", "setsar=1"] if rung.scaled else []
            steps += ["format=yuv420p"]
        filters.append(f"[in{index}]{','.join(steps)}[{rung.name}]")
    if plan.source.audio:
        late = f"atrim=start={begin:.3f}," if plan.begin_s else ""
        # async fills holes and drops overlaps of more than 0.1 s, so that sound stays with the picture.
        audio = f"{late}aresample={AUDIO_RATE}:async=1,aformat=channel_layouts=stereo:sample_fmts=fltp"
        filters.append(f"[0:a:0]{audio}[{AUDIO_RENDITION}]")
    return filters


def _thin(plan: RunPlan, rung: PlannedRung) -> str:
    """Takes every n-th frame by time, and each frame that begins a segment, so that keyframes stay aligned.

    `fps` would put this rung's frames on a grid of its own, and with 59.94 fps a keyframe one frame beside.
    """
    shortest = (rung.every - 0.5) / (rung.fps * rung.every)
    begins = f"gt({_segment_number('t-start_t', plan)},{_segment_number('prev_t-start_t', plan)})"
    if plan.copies:
        begins = "key"
    return f"select='isnan(prev_selected_t)+gte(t-prev_selected_t,{shortest:.5f})+{begins}'"


def _segment_number(moment: str, plan: RunPlan) -> str:
    # `moment` counts from the first frame, as `t` does in `force_key_frames` whatever the timestamps are.
    # Half a millisecond of slack: FLV's times are whole milliseconds, and 2.0 may be 1.9999999 in the
    # expression.
    return f"floor(({moment}+0.0005)/{plan.segment_seconds:g})"


def _video_output(plan: RunPlan, rung: PlannedRung) -> list[str]:
    settings = rung.encoders[plan.encoder.family]
    if plan.copies:
        # Where the source has its keyframes: a player may change between the copy and this rung there.
        return _encoder(plan, rung, settings, "source")
    # By time, not by count: each rung gets its keyframe on the first frame of each segment, whatever the
    # frame rate. Compared with the last forced one, so that a hole in the source is followed by one
    # keyframe, not by several.
    forced = (
        f"expr:if(isnan(prev_forced_t),1,"
        f"gt({_segment_number('t', plan)},{_segment_number('prev_forced_t', plan)}))"
    )
    return _encoder(plan, rung, settings, forced)


def _encoder(plan: RunPlan, rung: PlannedRung, settings: EncoderSettings, forced: str) -> list[str]:
    return [
        *("-map", f"[{rung.name}]", "-c:v", CODECS[plan.encoder.family], "-preset:v", settings.preset),
        *(word for name, value in settings.options.items() for word in (f"-{name}:v", value)),
        # x264 would begin a GOP at a cut; NVENC does with a look-ahead alone, and has no such option.
        *(NVENC_GPU if plan.encoder.family == "nvenc" else ("-sc_threshold", "0")),
        *("-b:v", f"{rung.video_kbps}k", "-maxrate", f"{rung.peak_kbps}k", "-bufsize", f"{rung.peak_kbps}k"),
        *("-bf", "0", "-g", str(math.ceil(4 * plan.segment_seconds * rung.fps))),
        *("-forced-idr", "1", "-force_key_frames", forced),
        # FFmpeg as a player keeps the first init section that it has read, and with it the parameter sets: it
        # decodes what follows a change of them (a copied rung that is encoded from now on) only when they
        # come with the pictures, too.
        *("-bsf:v", "dump_extra=freq=keyframe"),
        # Variable: a picture keeps its time; only one that has another's time is dropped.
        *("-fps_mode", "vfr", "-enc_time_base", f"1:{VIDEO_TICKS}", *_TIMESCALE),
    ]


def fragments_to(descriptor: int, seconds: float) -> list[str]:
    """Output options: fragments of one track, of `seconds` at least but no longer than needed, to a pipe."""
    return [
        *("-movflags", _FRAGMENT_FLAGS, "-frag_duration", str(round(seconds * 1e6))),
        # The muxer of a CMAF track has no edit list and would move the first timestamp to zero, of each
        # track by itself: the picture would part from the sound by what lay between their first frames.
        *("-avoid_negative_ts", "disabled", "-f", "mp4", f"pipe:{descriptor}"),
    ]
