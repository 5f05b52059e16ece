"""`appliance gpu`: what this host's GPUs encode, measured with its own ladder."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import typer

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
from appliance.media.capacity.gpu_probe import probe_gpu
from appliance.media.capacity.reference import Reference
from appliance.media.capacity.store import MeasuredGpus
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.gpus import find_gpus
from appliance.output import console, folding_table
from appliance.settings import SETTINGS_FILE

if TYPE_CHECKING:
    from appliance.media.encode.gpus import Gpu

_WHY: Final = {
    "speed": "slower than real time",
    "memory": "the host's memory is used up",
    "time": "the time was over",
}
"""What ended the rise, where nothing else is said of it; "" is an older probe's."""

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _area() -> None:
    """What this host's GPUs encode."""


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
    """Encode with NVENC on each GPU until it is too slow or refuses, as root; keep what is carried.

    New streams then go to a GPU with room first (setting `admission`). No GPU that encodes was at hand when
    this was written: see that it says what you expect.
    """
    found = to_the_end(find_gpus())
    probing = Probing.of(
        "gpu probe", settings=settings, source=source, ladder=ladder, output=output, force=force
    )
    choice = EncoderChoice("nvenc", "the GPU is measured")
    reference = Reference.of(probing.source, probing.ladder, probing.settings, choice)

    async def measure(gpus: list[Gpu]) -> MeasuredGpus:
        with probing.folder() as folder:
            clip = await probing.clip(folder, tell)
        figures = []
        for gpu in gpus:
            tell(f"GPU {gpu.index}, {gpu.name}")
            figures.append(
                await probe_gpu(
                    gpu,
                    reference,
                    clip,
                    name=probing.source_name,
                    step_seconds=step,
                    seconds=60 * minutes,
                    tell=tell,
                )
            )
        return MeasuredGpus(made=await probing.made_with(), driver=gpus[0].driver, gpus=tuple(figures))

    measured = to_the_end(measure(found))
    kept = probing.keep(gpus=measured)
    if as_json:
        typer.echo(json.dumps(asdict(measured)))
        return
    _print(measured)
    typer.echo(kept)


def _print(measured: MeasuredGpus) -> None:
    headings = ("GPU", "name", "streams", "megapixels/s", "sessions", "why not more")
    table = folding_table(*headings, title=f"NVENC, H.264, driver {measured.driver}")
    for gpu in measured.gpus:
        sessions = "no limit seen" if gpu.sessions is None and gpu.encodes else str(gpu.sessions or 0)
        why = [gpu.reason or _WHY.get(gpu.limit, "")]
        why += [] if gpu.decodes else ["the CPU has to decode"]
        table.add_row(
            str(gpu.index),
            gpu.name,
            f"{gpu.streams} of {gpu.source}",
            f"{gpu.pixels:.0f}",
            sessions,
            "; ".join(filter(None, why)),
        )
    console().print(table)
