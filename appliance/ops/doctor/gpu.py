"""The GPUs, as far as nvidia-smi tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.health.finding import Finding, critical, warning
from appliance.nvidia_smi import figure, query, read_gpus

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host

_FIGURES: Final = (
    "temperature.gpu",
    "utilization.encoder",
    "memory.used",
    "memory.total",
    "encoder.stats.sessionCount",
    "ecc.errors.uncorrected.volatile.total",
)
_FIELDS: Final = ("name", *_FIGURES)
HOT_CELSIUS: Final = 87
"""As the alert GpuHot has it."""


async def gpu(host: Host) -> list[Finding]:
    """The GPUs, where nvidia-smi is: it answers, and none is hot, broken or full."""
    answer = await host.run(*query(_FIELDS))
    if answer.status == 127:
        return []
    if answer.status:
        why = "streams are encoded by the CPU, or not at all"
        return [
            critical(
                "the GPU does not answer", f"nvidia-smi: {answer.said}", why, "dmesg | grep -i nvrm; reboot"
            )
        ]
    return judge_gpus(answer.text)


def judge_gpus(text: str) -> list[Finding]:
    """`text` as nvidia-smi prints it of the query above; what a GPU does not know is `[N/A]`."""
    findings = []
    for number, values in read_gpus(text, _FIELDS).items():
        model = values["name"]
        name = f"GPU {number} ({model})"
        temperature, busy, used, total, sessions, errors = (figure(values[field]) for field in _FIGURES)
        if temperature is not None and temperature > HOT_CELSIUS:
            seen, why = f"{temperature:.0f} °C; allowed are {HOT_CELSIUS}", "it slows down"
            findings.append(warning(f"{name} is hot", seen, why, "see to its fans and its air"))
        if errors:
            seen, why = f"{errors:.0f} since boot", "pictures may be broken"
            findings.append(
                critical(f"{name} has memory errors", seen, why, "replace it; until then: reboot")
            )
        if used is not None and total and used > 0.95 * total:
            seen, why = f"{used:.0f} of {total:.0f} MiB", "no further stream can be encoded on it"
            findings.append(warning(f"the memory of {name} is full", seen, why, "fewer streams; nvidia-smi"))
        if busy is not None and busy >= 98:
            seen = f"{busy:.0f} %, {sessions or 0:.0f} sessions"
            why = "streams fall behind"
            findings.append(
                warning(f"the encoder of {name} is busy", seen, why, "fewer streams or rungs on it")
            )
    return findings
