"""`appliance fleet`: the hosts of the inventory, over SSH, all at once."""

from __future__ import annotations

import json
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer
from rich.table import Table

from appliance.cli.stream_name import checked_stream_name
from appliance.errors import EX_USAGE, OperatorError
from appliance.health.finding import worst
from appliance.ops.doctor.report import print_findings
from appliance.ops.fleet.ask import ask, ended, leave, on_lines
from appliance.ops.fleet.everywhere import on_all
from appliance.ops.fleet.examine import NoStreamingHost, between_hosts, examine_any
from appliance.ops.fleet.journals import by_time, journal_command, stream_command
from appliance.ops.fleet.progress import progress
from appliance.ops.fleet.summary import Summary, summarise
from appliance.ops.fleet.targets import read_targets
from appliance.output import console, page, span
from appliance.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.health.finding import Finding
    from appliance.media.status_reading import Reading
    from appliance.ops.fleet.everywhere import Result
    from appliance.ops.fleet.examine import HostReport
    from appliance.ops.fleet.targets import Target

app = typer.Typer(no_args_is_help=True, help="The hosts of the inventory, over SSH: look after all at once.")


def _some(limit: str | None) -> str | None:
    """A limit that names somebody: Ansible takes an empty one, such as an unset variable's, for all hosts."""
    if limit is None:
        return None
    # As Ansible parts them; what begins with @ is a file with one to a line, such as its own retry files.
    pieces = [piece.strip() for piece in limit.split("," if "," in limit else ":")]
    named = [name for piece in pieces for name in (_listed(piece[1:]) if piece[:1] == "@" else [piece])]
    if not any(named):
        raise OperatorError(
            f"--limit {limit!r} names no host; allowed is a host, a group or a pattern of them",
            exit_code=EX_USAGE,
            hint="for all hosts leave it out",
        )
    return limit


def _listed(file: str) -> list[str]:
    """The lines of the file of a limit. Raises OperatorError when it cannot be read."""
    try:
        return [line.strip() for line in Path(file).read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise OperatorError(
            f"--limit @{file}: {why}; allowed is a file with a host, a group or a pattern on each line",
            exit_code=EX_USAGE,
            hint=f"see: ls -l {shlex.quote(file)}; for all hosts leave --limit out",
        ) from None


InventoryOption = Annotated[
    Path | None, typer.Option("--inventory", "-i", help="Ansible inventory; else that of ansible.cfg.")
]
LimitOption = Annotated[
    str | None,
    typer.Option("--limit", "-l", help="These hosts or groups alone, as Ansible has it.", callback=_some),
]
SecondsOption = Annotated[float, typer.Option(min=1, help="How long one host may take, connecting included.")]
AtOnceOption = Annotated[int, typer.Option("--forks", "-f", min=1, max=200, help="Hosts at a time.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one object; how far it is goes to stderr.")]

_AT_ONCE: Final = 20
_NO_STREAMING_HOST: Final = "no streaming host"


@app.callback()
def _group() -> None:
    """The hosts of the inventory, over SSH, all at once.

    A host whose key is not known is not talked to; keys come from the agent, ~/.ssh and the inventory. Exit
    status 69 when a host could not be reached (of `doctor`: 2, it is a finding).
    """


@app.command("doctor")
def doctor_command(
    *,
    inventory: InventoryOption = None,
    limit: LimitOption = None,
    seconds: SecondsOption = 60,
    at_once: AtOnceOption = _AT_ONCE,
    only: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Make this check alone; may be given again.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Have every host look at itself, and compare them: ports from here, clocks, versions.

    Exit status 0: nothing found. 1: warnings. 2: something critical, or a host that cannot be reached.
    """
    targets = read_targets(inventory, limit)
    with progress() as shown:
        results = on_all(
            targets,
            partial(examine_any, seconds=max(1.0, seconds - 2), only=only or ()),
            shown,
            _told,
            seconds=seconds,
            at_once=at_once,
            what="looking",
        )
    others = [result.target.name for result in results if isinstance(result.value, NoStreamingHost)]
    looked = cast(
        "list[Result[HostReport]]", [result for result in results if result.target.name not in others]
    )
    between, reports = between_hosts(looked), {result.target.name: result.value for result in looked}
    found: dict[str, list[Finding]] = {result.target.name: [] for result in results}
    for host, report in reports.items():
        found[host] = [*(report.findings if report else ()), *between[host]]
    if as_json:
        hosts = {
            result.target.name: {
                "reached": result.value is not None,
                "streaming_host": result.target.name not in others,
                "seconds": round(result.seconds, 3),
                "findings": [finding.described() for finding in found[result.target.name]],
                "report": report.described if (report := reports.get(result.target.name)) else None,
            }
            for result in results
        }
        typer.echo(json.dumps({"hosts": hosts}))
    else:
        _print_findings(found, others)
    raise typer.Exit(worst(finding for findings in found.values() for finding in findings))


def _told(report: HostReport | NoStreamingHost) -> tuple[str, bool]:
    if isinstance(report, NoStreamingHost):
        return _NO_STREAMING_HOST, True
    findings = report.findings
    if not findings:
        return "no finding", True
    return f"{len(findings)} finding{'s' if len(findings) > 1 else ''}: {findings[0].what}", False


def _print_findings(found: dict[str, list[Finding]], others: Sequence[str]) -> None:
    out = page()
    bad = {host: findings for host, findings in found.items() if findings}
    for host, findings in bad.items():
        out.print(f"{host}:", style="bold")
        print_findings(tuple(findings))
    for host in others:
        out.print(f"{host}: {_NO_STREAMING_HOST}")
    count = len(found) - len(bad)
    out.print(f"{count} of {len(found)} host{'s' if len(found) > 1 else ''} without a finding")


@app.command("status")
def status_command(
    *,
    inventory: InventoryOption = None,
    limit: LimitOption = None,
    seconds: SecondsOption = 30,
    at_once: AtOnceOption = _AT_ONCE,
    as_json: JsonOption = False,
) -> None:
    """Show what every host does: streams, connections, load, room, versions.

    Exit status 1 when something is down somewhere, 69 when a host gave no answer.
    """
    targets = read_targets(inventory, limit)
    with progress() as shown:
        results = on_all(
            targets,
            partial(summarise, seconds=max(1.0, seconds - 2)),
            shown,
            lambda value: (_state(value), isinstance(value, NoStreamingHost) or value.good),
            seconds=seconds,
            at_once=at_once,
        )
    if as_json:
        typer.echo(json.dumps({"hosts": {one.target.name: _described(one.value) for one in results}}))
    else:
        table = Table()
        for heading in ("host", "state", "live", "connections", "load", "memory", "media", "up", "version"):
            table.add_column(heading, overflow="fold")
        for one in results:
            said = one.failure or "?" if one.value is None else _state(one.value)
            figures = one.value.figures if isinstance(one.value, Summary) else None
            table.add_row(one.target.name, said, *(_cells(figures) if figures else ["-"] * 7))
        console().print(table)
    summaries = [(one, one.value) for one in results if not isinstance(one.value, NoStreamingHost)]
    leave([one for one, value in summaries if value is None or value.figures is None])
    raise typer.Exit(int(any(value and value.down for _, value in summaries)))


def _state(value: Summary | NoStreamingHost) -> str:
    return _NO_STREAMING_HOST if isinstance(value, NoStreamingHost) else value.said


def _described(value: Summary | NoStreamingHost | None) -> dict[str, Any] | None:
    """For JSON: a host's figures, None where it gave none."""
    if isinstance(value, NoStreamingHost):
        return {"streaming_host": False}
    return value.figures.content if value and value.figures else None


def _cells(figures: Reading) -> list[str]:
    def number(name: str) -> float:
        return figures.number(name) or 0.0

    def count(name: str) -> str:
        found = figures.number(name)
        return "-" if found is None else f"{found:.10g}"

    return [
        count("streams_live"),
        count("connections"),
        f"{number('load'):.1f}/{number('cores'):.0f}",
        f"{100 * number('memory'):.0f} %",
        f"{100 * number('media'):.0f} %",
        span(number("uptime")),
        printable(figures.text("version") or "-"),
    ]


@app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def exec_command(
    *,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND…", help="Runs as it is, without a shell.")],
    inventory: InventoryOption = None,
    limit: LimitOption = None,
    seconds: SecondsOption = 300,
    at_once: AtOnceOption = _AT_ONCE,
    root: Annotated[bool, typer.Option("--root", help="With sudo, where who logs in is not root.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a command on every host; each line of its output stands behind the host's name.

    For a pipe or a variable: `appliance fleet exec -- sh -c '…'`. Exit status 0 when it was 0 everywhere,
    1 when it failed somewhere, 69 when a host could not be reached.
    """
    targets = read_targets(inventory, limit)
    if as_json:
        results = ask(targets, command, seconds, at_once, ended, root=root)
        hosts = {
            one.target.name: {"failure": one.failure, "seconds": round(one.seconds, 3)}
            | (
                {
                    "status": one.value.status,
                    "output": one.value.text,
                    "errors": one.value.errors,
                    "cut": one.value.cut,
                }
                if one.value
                else {}
            )
            for one in results
        }
        typer.echo(json.dumps({"hosts": hosts}))
    else:
        results = on_lines(targets, command, seconds, at_once, root=root)
    leave([result for result in results if result.value is None])
    raise typer.Exit(int(any(result.value and not result.value.well for result in results)))


def _with_streams(targets: Sequence[Target]) -> list[Target]:
    """Those that may have a stream, and a word about each other. Raises OperatorError when there is none."""
    found = [target for target in targets if target.streaming]
    if not found:
        names = ", ".join(target.name for target in targets)
        raise OperatorError(
            f"{names}: {_NO_STREAMING_HOST}; a stream is said something of on hosts in the group origins",
            exit_code=EX_USAGE,
            hint="name one of those: --limit",
        )
    for target in targets:
        if not target.streaming:
            typer.echo(f"{target.name}: {_NO_STREAMING_HOST}, left out", err=True)
    return found


@app.command("logs")
def logs_command(
    *,
    inventory: InventoryOption = None,
    limit: LimitOption = None,
    seconds: SecondsOption = 60,
    at_once: AtOnceOption = _AT_ONCE,
    unit: Annotated[
        list[str] | None, typer.Option("--unit", "-u", help="Of this unit; else all of ours.")
    ] = None,
    stream: Annotated[str | None, typer.Option(help="As `appliance logs --stream` shows it there.")] = None,
    since: Annotated[str, typer.Option(help="As journalctl has it: -1h, 2026-01-01 12:00.")] = "-1h",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000, help="Of each host.")] = 200,
    grep: Annotated[str | None, typer.Option(help="Lines that match, as journalctl has it.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with those that come.")] = False,
) -> None:
    """Show the journals of all hosts, in the order of time; with --follow as the lines come.

    Exit status 1 when a host's journal could not be read, or not to its end, 69 when a host could not be
    reached.
    """
    targets = read_targets(inventory, limit)
    if stream is None:
        command = journal_command(unit or (), since=since, lines=lines, grep=grep, follow=follow)
    elif unit or grep is not None:
        raise OperatorError("--stream goes without --unit and --grep", exit_code=EX_USAGE)
    else:
        command = stream_command(checked_stream_name(stream), since=since, lines=lines, follow=follow)
        targets = _with_streams(targets)
    if follow:
        results = on_lines(targets, command, None, len(targets), root=True)
    else:
        results = ask(targets, command, seconds, at_once, ended)
        width = max(len(target.name) for target in targets)
        for host, line in by_time(results, lines):
            typer.echo(f"{host:<{width}}  {line}")
    failed = [(one.target.name, one.value) for one in results if one.value and one.value.status]
    for host, done in failed:
        for line in done.errors.splitlines():
            typer.echo(f"{host}: {line}", err=True)
    cut = [one.target.name for one in results if one.value and one.value.cut]
    for host in cut:
        typer.echo(f"{host}: it has more than is shown, and newer; ask for fewer: --lines, --since", err=True)
    leave([result for result in results if result.value is None])
    # Of --grep that nothing matches journalctl's exit status is 1 too; then it says nothing.
    raise typer.Exit(int(bool(cut) or any(follow or done.errors or done.status > 1 for _, done in failed)))
