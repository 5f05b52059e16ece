"""`appliance fleet`: the hosts of the inventory, over SSH, all at once."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from appliance.cli.output import console, span
from appliance.cli.stream_name import checked_stream_name
from appliance.errors import EX_USAGE, OperatorError
from appliance.ops.doctor.finding import worst
from appliance.ops.fleet.ask import ask, ended, leave, on_lines
from appliance.ops.fleet.everywhere import on_all
from appliance.ops.fleet.examine import between_hosts, examine
from appliance.ops.fleet.journals import by_time, journal_command, stream_command
from appliance.ops.fleet.progress import progress
from appliance.ops.fleet.session import Done
from appliance.ops.fleet.targets import read_targets
from appliance.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.ops.doctor.finding import Finding

app = typer.Typer(no_args_is_help=True, help="The hosts of the inventory, over SSH: look after all at once.")


def _some(limit: str | None) -> str | None:
    """A limit that names somebody: Ansible takes an empty one, such as an unset variable's, for all hosts."""
    if limit is not None and not limit.strip(" ,:"):
        raise OperatorError(
            f"--limit {limit!r} names no host; allowed is a host, a group or a pattern of them",
            exit_code=EX_USAGE,
            hint="for all hosts leave it out",
        )
    return limit


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
            partial(examine, seconds=max(1.0, seconds - 2), only=only or ()),
            shown,
            lambda report: (_counted(report.findings), not report.findings),
            seconds=seconds,
            at_once=at_once,
            what="looking",
        )
    between = between_hosts(results)
    found = {
        result.target.name: [*(result.value.findings if result.value else ()), *between[result.target.name]]
        for result in results
    }
    if as_json:
        hosts = {
            result.target.name: {
                "reached": result.value is not None,
                "seconds": round(result.seconds, 3),
                "findings": [finding.described() for finding in found[result.target.name]],
                "report": result.value.described if result.value else None,
            }
            for result in results
        }
        typer.echo(json.dumps({"hosts": hosts}))
    else:
        _print_findings(found)
    raise typer.Exit(worst(finding for findings in found.values() for finding in findings))


def _counted(findings: Sequence[Finding]) -> str:
    if not findings:
        return "no finding"
    return f"{len(findings)} finding{'s' if len(findings) > 1 else ''}: {findings[0].what}"


def _print_findings(found: dict[str, list[Finding]]) -> None:
    out = console()
    bad = {host: findings for host, findings in found.items() if findings}
    if bad:
        table = Table("host", "severity", "what", "seen", "mend")
        for host, findings in bad.items():
            for finding in findings:
                table.add_row(host, finding.severity.name, finding.what, finding.seen, finding.mend)
        out.print(table)
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
    results = ask(
        targets,
        ["appliance", "doctor", "--summary", "--json"],
        seconds,
        at_once,
        lambda done: _state(done)[0],
    )
    rows = [(result, _state(result.value)[1] if result.value else None) for result in results]
    if as_json:
        typer.echo(json.dumps({"hosts": {one.target.name: found for one, found in rows}}))
    else:
        out = console()
        table = Table("host", "state", "live", "connections", "load", "memory", "media", "up", "version")
        for result, found in rows:
            if found is None:
                said = result.failure or (_state(result.value)[0] if result.value else "?")
                table.add_row(result.target.name, said, *["-"] * 7)
            else:
                table.add_row(result.target.name, *_cells(found))
        out.print(table)
    leave([result for result, found in rows if found is None])
    raise typer.Exit(int(any(found and found["units_down"] for _, found in rows)))


def _state(done: Done) -> tuple[str, dict[str, Any] | None]:
    """What a host's summary says in a word, and the summary; None where there is none."""
    try:
        found = dict(json.loads(done.text))
        down = [printable(str(unit)) for unit in found["units_down"]]
    except (ValueError, KeyError, TypeError):
        return f"no summary (exit status {done.status}): {(done.errors or done.text).strip()[-200:]}", None
    return (f"DOWN: {', '.join(down)}" if down else "runs"), found


def _cells(found: dict[str, Any]) -> list[str]:
    def number(name: str) -> float:
        value = found.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    def share(name: str) -> str:
        return f"{100 * number(name):.0f} %"

    down = printable(", ".join(map(str, found["units_down"])))
    load, up = f"{number('load'):.1f}/{number('cores'):.0f}", span(number("uptime"))
    names = ("streams_live", "connections", "version")
    live, connections, version = (printable(str(found.get(name))) for name in names)
    return [
        f"DOWN: {down}" if down else "runs",
        live,
        connections,
        load,
        share("memory"),
        share("media"),
        up,
        version,
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
