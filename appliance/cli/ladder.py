"""`appliance ladder`: what a source would be encoded to, and by which command."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast, get_args

import typer
from rich.table import Table

from appliance.errors import EX_USAGE, OperatorError
from appliance.media.encode.command import RunPlan, ffmpeg_command
from appliance.media.encode.copying import with_copy
from appliance.media.encode.described import described_source
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.encoder_memory import EncoderMemory
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.thumbnails import THUMBNAIL_SECONDS
from appliance.output import console
from appliance.settings import SETTINGS_FILE, EncoderPreference, Settings

if TYPE_CHECKING:
    from appliance.media.encode.rungs import PlannedRung
    from appliance.media.encode.source import Source

_FIRST_PIPE: Final = 3

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _area() -> None:
    """The encoding ladders and their rungs."""


@app.command()
def show(
    source: Annotated[
        str, typer.Option(help="The source as WIDTHxHEIGHT@FPS, or `audio` for one without video.")
    ] = "1920x1080@30",
    ladder: Annotated[
        str | None, typer.Option(help="A ladder's name or its file; the host's setting when left out.")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="auto, nvenc or x264; the host's setting when left out.")
    ] = None,
    copy_source: Annotated[
        str | None, typer.Option(help="auto or never; the host's setting when left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the rungs that a source gets and the exact FFmpeg command.

    A source that fits the top rung is copied; its keyframes and its bitrate are taken to allow it.
    """
    settings = Settings.load() if SETTINGS_FILE.exists() else Settings()
    wanted = ladder or settings.ladder
    path = Path(wanted) if "/" in wanted or wanted.endswith(".yml") else ladder_path(wanted)
    what = parse_source(source)
    choice = _choose(encoder or settings.encoder)
    rungs, encoded = _copied(plan_rungs(load_ladder(path), what), what, copy_source or settings.copy_source)
    plan = RunPlan(
        source=what,
        rungs=rungs,
        encoder=choice,
        segment_seconds=settings.segment_seconds,
        part_seconds=settings.part_seconds,
        thumbnail_seconds=THUMBNAIL_SECONDS,
        gpu_decodes=choice.family == "nvenc",
        container=settings.container,
    )
    pipes = range(_FIRST_PIPE + 1, _FIRST_PIPE + 1 + len(plan.outputs))
    command = ffmpeg_command(plan, outputs=pipes, progress=_FIRST_PIPE)
    if as_json:
        typer.echo(json.dumps(_as_data(plan, path, command, encoded), indent=2))
        return
    _print(plan, path, command, encoded)


def parse_source(text: str) -> Source:
    """Returns the source that `text` describes: H.264 High with stereo AAC at 48 kHz.

    Raises OperatorError (EX_USAGE) when it is not WIDTHxHEIGHT[@FPS] or `audio`.
    """
    try:
        return described_source(text)
    except ValueError as error:
        raise OperatorError(f"--source: {error}", exit_code=EX_USAGE) from None


def _copied(
    rungs: tuple[PlannedRung, ...], source: Source, wanted: str
) -> tuple[tuple[PlannedRung, ...], str | None]:
    """Returns the rungs, the first one copied or in words why not."""
    if wanted not in {"auto", "never"}:
        raise OperatorError(f"--copy-source: {wanted!r} is refused; allowed: auto, never", exit_code=EX_USAGE)
    if wanted == "never":
        return rungs, "`copy_source` says never"
    return with_copy(rungs, source, None)


def _choose(preference: str) -> EncoderChoice:
    if preference not in get_args(EncoderPreference):
        raise OperatorError(
            f"--encoder: {preference!r} is refused; allowed: {', '.join(get_args(EncoderPreference))}",
            exit_code=EX_USAGE,
        )
    if preference == "nvenc":
        # The command of a GPU host is worth reading anywhere; only `auto` has to know what works here.
        return EncoderChoice("nvenc", "asked for with --encoder, not tried")
    if preference == "x264":
        return EncoderChoice("x264", "asked for with --encoder or the setting, not tried")
    memory = EncoderMemory(cast("EncoderPreference", preference), directory=None)
    return asyncio.run(memory.choose())


def _as_data(plan: RunPlan, path: Path, command: list[str], encoded: str | None) -> dict[str, object]:
    return {
        "ladder": str(path),
        "source": str(plan.source),
        "encoder": {
            "family": plan.encoder.family,
            "codec": plan.encoder.codec,
            "reason": plan.encoder.reason,
        },
        "rungs": [
            {
                "name": rung.name,
                "width": rung.width,
                "height": rung.height,
                "fps": round(rung.fps, 3),
                "video_kbps": rung.video_kbps,
                "peak_kbps": rung.peak_kbps,
                "audio_kbps": rung.audio_kbps,
                "preset": None if rung.copied else rung.encoders[plan.encoder.family].preset,
                "copied": rung.copied,
            }
            for rung in plan.rungs
        ],
        "not_copied_because": encoded,
        "renditions": list(plan.renditions),
        "command": command,
    }


def _print(plan: RunPlan, path: Path, command: list[str], encoded: str | None) -> None:
    out = console()
    table = Table(title=f"{plan.source}\n{path}", title_justify="left")
    gap = "\n" if out.is_terminal else " "
    for heading in ("rung", "size", "fps", "video kb/s", "peak kb/s", "audio kb/s", "encoder", "preset"):
        table.add_column(
            heading.replace(" ", gap),
            justify="left" if heading in {"rung", "encoder", "preset"} else "right",
            # 80 columns hold every value whole; only a long name of a rung folds
            **({"overflow": "fold"} if heading == "rung" else {"no_wrap": True}),
        )
    for rung in plan.rungs:
        table.add_row(
            rung.name,
            f"{rung.width}x{rung.height}",
            f"{rung.fps:.4g}",
            *(str(value) for value in (rung.video_kbps, rung.peak_kbps, rung.audio_kbps)),
            "copy" if rung.copied else plan.encoder.codec,
            "-" if rung.copied else rung.encoders[plan.encoder.family].preset,
        )
    if not plan.rungs:
        table.add_row("audio", *["-"] * 7)
    out.print(table)
    if encoded is not None and plan.rungs:
        out.print(f"the source is not copied: {encoded}", markup=False)
    out.print(f"encoder: {plan.encoder.family}, {plan.encoder.reason}", markup=False)
    typer.echo(shlex.join(command))
