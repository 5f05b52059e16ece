"""`appliance cpu`: what this host's CPU carries, measured with its own ladder."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from appliance.cli.probing import (
    ForceOption,
    JsonOption,
    LadderOption,
    MinutesOption,
    OutputOption,
    Probing,
    SettingsOption,
    SourceOption,
    StepOption,
    tell,
    to_the_end,
)
from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.media.capacity.cpu_probe import probe_cpu
from appliance.media.capacity.machine import Machine, cpu_name
from appliance.media.capacity.reference import Reference
from appliance.media.capacity.store import MeasuredCpu
from appliance.media.capacity.trial import TrialError
from appliance.media.capacity.work import Work
from appliance.media.encode.described import described_source
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.rungs import plan_rungs
from appliance.output import console
from appliance.settings import SETTINGS_FILE

if TYPE_CHECKING:
    from appliance.media.encode.ladder import Ladder

app = typer.Typer(no_args_is_help=True)

_QUIET = 0.1
"""Share of the cores that a host without streams may be busy with."""

_SOURCES = ("1920x1080@60", "1920x1080@30", "1280x720@30", "854x480@30")


@app.callback()
def _area() -> None:
    """What this host's CPU carries."""


@app.command()
def probe(
    *,
    source: SourceOption = None,
    ladder: LadderOption = None,
    step: StepOption = 5,
    minutes: MinutesOption = 5,
    force: ForceOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    settings: SettingsOption = SETTINGS_FILE,
) -> None:
    """Encode with x264 until it is slower than real time, as root; keep what streams cost and what fits.

    Once it is kept, publishers whose streams would not fit are refused (setting `admission`).
    """
    probing = Probing.of(
        "cpu probe", settings=settings, source=source, ladder=ladder, output=output, force=force
    )
    choice = EncoderChoice("x264", "the CPU is measured")
    reference = Reference.of(probing.source, probing.ladder, probing.settings, choice)

    async def measure() -> MeasuredCpu:
        with probing.folder() as folder:
            clip = await probing.clip(folder, tell)
        figures = await probe_cpu(
            reference, clip, name=probing.source_name, step_seconds=step, seconds=60 * minutes, tell=tell
        )
        made = await probing.made_with()
        return MeasuredCpu(made=made, machine=Machine.here(), model=cpu_name(), figures=figures)

    try:
        measured = to_the_end(measure())
    except TrialError as error:
        raise OperatorError(f"x264 does not encode here: {error}", exit_code=EX_UNAVAILABLE) from None
    kept = probing.keep(cpu=measured)
    if as_json:
        typer.echo(json.dumps(asdict(measured)))
        return
    _print(measured, probing.ladder, probing.settings.admission_headroom)
    typer.echo(kept)


def _print(measured: MeasuredCpu, ladder: Ladder, headroom: float) -> None:
    figures, out = measured.figures, console()
    out.print(f"{measured.model}: {figures.cores:.2f} of {measured.machine.cores} cores encode (x264)")
    if figures.others > _QUIET * measured.machine.cores:
        out.print(f"other programs took {figures.others:.2f} cores meanwhile: this is what they have left")
    more = "" if figures.complete else " or more: the time was over"
    out.print(f"{figures.streams}{more} of {figures.source} side by side in real time, every rung encoded")
    title = (
        f"what streams cost, and how many {1 - headroom:.0%} of that carry (admission_headroom {headroom:g})"
    )
    table = Table(title=title, title_justify="left")
    for heading in ("source", "rungs", "all encoded: cores", "streams", "top copied: cores", "streams"):
        table.add_column(heading, justify="left" if heading == "source" else "right")
    for name in dict.fromkeys((figures.source, *_SOURCES)):
        source = described_source(name)
        rungs = plan_rungs(ladder, source)
        costs = (figures.cost(Work.of(source, rungs)), figures.cost(Work.of(source, rungs[1:])))
        cells = [f"{figures.cores * (1 - headroom) / cost:.1f}" for cost in costs]
        # Only pictures of the one size were encoded: larger ones cost less than their pixels say.
        label = name if name == figures.source else f"{name}, reckoned"
        table.add_row(label, str(len(rungs)), f"{costs[0]:.2f}", cells[0], f"{costs[1]:.2f}", cells[1])
    out.print(table)
