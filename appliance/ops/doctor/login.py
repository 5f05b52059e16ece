"""How one gets onto the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.health.finding import Finding, warning

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host

_MEND: Final = (
    "printf 'PasswordAuthentication no\\nKbdInteractiveAuthentication no\\n' "
    ">/etc/ssh/sshd_config.d/10-keys-only.conf; sshd -t; systemctl reload ssh; see that your key works first"
)


async def login(host: Host) -> list[Finding]:
    """Nobody logs in over SSH with a password."""
    answer = await host.run("/usr/sbin/sshd", "-T")
    if answer.status == 127:
        return []
    if answer.status:
        why = "nobody knows who may log in"
        return [warning("sshd does not tell its settings", answer.said, why, "see why: sshd -T")]
    return judge_sshd(answer.text)


def judge_sshd(text: str) -> list[Finding]:
    """`text` as `sshd -T` prints it (sshd(8)), for connections that no Match block is about."""
    lines = (line.split(None, 1) for line in text.lower().splitlines() if " " in line)
    said = {name: value.strip() for name, value in lines}
    keyboard = said.get("kbdinteractiveauthentication") == "yes" and said.get("usepam") == "yes"
    names = ["passwordauthentication"] if said.get("passwordauthentication") == "yes" else []
    names += ["kbdinteractiveauthentication"] if keyboard else []
    if not names:
        return []
    seen = f"{' and '.join(names)} yes; permitrootlogin {said.get('permitrootlogin', '?')}"
    why = "whoever guesses a password is on the host, and robots try all day"
    return [warning("SSH takes passwords", seen, why, _MEND)]
