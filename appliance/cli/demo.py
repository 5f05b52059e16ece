"""`appliance demo`: a host, a stream and a proof that it plays."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from time import monotonic, time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from appliance.cli import output
from appliance.demo import demo
from appliance.program import program

app = typer.Typer(no_args_is_help=True, help="One host, one live stream, one command.")

SECONDS_PER_DAY = 86_400

_MAKE_KEY = (
    "made in that shell: appliance streams register NAME; appliance streams keys add NAME. The demo's own "
    "name is taken: another encoder of it is refused"
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON; progress goes to stderr.")]


def _table(facts: demo.Facts, title: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for what, where in (
        ("live now", f"{facts.stream}, which this machine's own FFmpeg publishes"),
        ("watch", facts.watch_url),
        ("HLS", facts.hls_url),
        ("a picture of it", f"{facts.hls_url.removesuffix('.m3u8')}.jpg"),
        ("RTMP statistics", facts.stat_url),
        ("health", facts.health_url),
        ("shell on the host", f"{program()} lab ssh origin"),
        ("publish to (RTMP)", facts.rtmp_url),
        ("its stream key", "NAME?key=KEY; " + _MAKE_KEY),
        ("stop it", "make down"),
    ):
        table.add_row(what, where)
    return table


def _seconds_before() -> float:
    """Return for how many seconds `make demo` ran before us: DEMO_BEGAN is its Unix time; 0 without it."""
    try:
        passed = time() - float(os.environ.get("DEMO_BEGAN", ""))
    except ValueError:
        return 0.0
    return passed if 0 <= passed < SECONDS_PER_DAY else 0.0


@app.command()
def up(as_json: AsJson = False) -> None:
    """Start the host, provision it, publish, and see that it plays; a second run changes nothing."""
    began = monotonic() - _seconds_before()
    console = Console(stderr=True)
    with console.status("starting") as status:

        def say(line: str) -> None:
            text = f"[{monotonic() - began:5.1f} s] {line}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)

        facts, proof = demo.up(say=say, step=lambda name: status.update(name or "working"))
    if as_json:
        print(
            json.dumps(
                {**asdict(facts), "proof": asdict(proof), "took_seconds": round(monotonic() - began, 1)}
            )
        )
        return
    out = output.console()
    out.print(
        f"{proof.frames} pictures of {proof.seconds:g} s decrypted and decoded, {proof.variants} variants, "
        f"{monotonic() - began:.0f} s in all.",
        highlight=False,
    )
    out.print(_table(facts, "The demo is live"))


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop the publisher and remove the host."""
    removed = demo.down(say=lambda line: print(line, file=sys.stderr, flush=True))
    if as_json:
        print(json.dumps({"removed": removed}))
    else:
        print("the demo is down" if removed else "the demo was not up")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say what is up; exit code 3 unless all of it is."""
    seen = demo.status()
    if as_json:
        print(json.dumps({**asdict(seen), "up": seen.up}))
        raise typer.Exit(0 if seen.up else 3)
    if seen.run is not None:
        print(f"`demo up` or `demo down` is at work right now (process {seen.run})")
    if seen.facts is None:
        print("the demo has no host yet" if seen.run is not None else "the demo is down")
    else:
        words = [f"{what} {'up' if ok else 'down'}" for what, ok in
                 (("host", True), ("publisher", seen.publisher), ("stream", seen.plays))]  # fmt: skip
        output.console().print(_table(seen.facts, ", ".join(words)))
    if not seen.up:
        raise typer.Exit(3)
