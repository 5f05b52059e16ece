"""`appliance preflight`: the checklist before hosts are opened to the public."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from appliance.cli.fleet import AtOnceOption, InventoryOption, JsonOption, LimitOption, SecondsOption
from appliance.health.finding import worst
from appliance.ops.doctor.report import print_findings
from appliance.ops.fleet.everywhere import on_all
from appliance.ops.fleet.examine import HostReport
from appliance.ops.fleet.progress import progress
from appliance.ops.fleet.targets import read_targets
from appliance.ops.preflight.hosts import NotDeployed, look, said, together
from appliance.ops.preflight.inventory import ask_inventory
from appliance.output import page

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.health.finding import Finding
    from appliance.ops.fleet.everywhere import Result

app = typer.Typer(help="The checklist before hosts are opened to the public.", subcommand_metavar="")

_SITE = "the site"


@app.callback(invoke_without_command=True)
def preflight_command(
    *,
    inventory: InventoryOption = None,
    limit: LimitOption = None,
    extra: Annotated[
        list[str] | None, typer.Option("--extra-vars", "-e", help="As Ansible has it; may be given again.")
    ] = None,
    hosts: Annotated[bool, typer.Option(help="Ask the hosts over SSH, too.")] = True,
    seconds: SecondsOption = 60,
    at_once: AtOnceOption = 20,
    as_json: JsonOption = False,
) -> None:
    """Go through the checklist: what the inventory says, and what the hosts that are deployed say.

    Exit status 0: nothing found. 1: warnings. 2: something critical, strangers get in or viewers are kept
    out. What is meant so is named in the inventory: preflight_accepted.
    """
    planned = ask_inventory(inventory, limit, extra or ())
    results = _ask_hosts(inventory, limit, seconds, at_once) if hosts else []
    deployed = {one.target.name: isinstance(one.value, HostReport) for one in results if one.value}
    found = together(planned, said(results))
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "site": [finding.described() for finding in planned.site],
                    "hosts": {
                        host: {
                            "deployed": deployed.get(host),
                            "accepted": sorted(planned.accepted[host]),
                            "findings": [finding.described() for finding in findings],
                        }
                        for host, findings in found.items()
                    },
                }
            )
        )
    else:
        bare = [
            one.target.name for one in results if isinstance(one.value, NotDeployed) and one.target.streaming
        ]
        _print({_SITE: list(planned.site), **found}, bare)
    raise typer.Exit(worst((*planned.site, *(one for findings in found.values() for one in findings))))


def _ask_hosts(
    inventory: Path | None, limit: str | None, seconds: float, at_once: int
) -> list[Result[HostReport | NotDeployed]]:
    def told(report: HostReport | NotDeployed) -> tuple[str, bool]:
        if isinstance(report, NotDeployed):
            return "not deployed", True
        return f"{len(report.findings)} findings", not report.findings

    with progress() as shown:
        return on_all(
            read_targets(inventory, limit),
            partial(look, seconds=max(1.0, seconds - 2)),
            shown,
            told,
            seconds=seconds,
            at_once=at_once,
            what="looking",
        )


def _print(found: dict[str, list[Finding]], bare: list[str]) -> None:
    out = page()
    for where, findings in found.items():
        if findings:
            out.print(f"{where}:", style="bold")
            print_findings(tuple(findings))
    for host in bare:
        out.print(f"{host} is not deployed yet; can it be: ansible-playbook playbooks/preflight.yml")
    count = sum(map(len, found.values()))
    out.print("nothing found" if not count else f"{count} finding{'s' if count > 1 else ''}")
