"""What a host is asked before it is opened to the public: logins, updates, names, room, what it carried."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.health.finding import Finding, Severity
from appliance.media.capacity.machine import Machine
from appliance.media.capacity.store import write_capacity
from appliance.media.encode.gpus import Gpu
from appliance.media.encode.ladder import load_ladder
from appliance.ops.doctor import capacity, identity, valkey
from appliance.ops.doctor.capacity import judge_capacity, stream_bytes
from appliance.ops.doctor.encoders import encoders
from appliance.ops.doctor.encoding import Here, encoding, judge_encoding
from appliance.ops.doctor.host import Host
from appliance.ops.doctor.identity import judge_names, names, tls
from appliance.ops.doctor.load import Load, judge_load, load, machine, measure
from appliance.ops.doctor.login import judge_sshd, login
from appliance.ops.doctor.space import Room
from appliance.ops.doctor.units import Unit
from appliance.ops.doctor.updates import judge_updates
from appliance.ops.doctor.versions import release
from appliance.settings import Settings
from appliance.state.valkey import StateUnavailableError
from tests.unit.media.capacity.measured import MADE, gpu
from tests.unit.media.capacity.measured import capacity as measured

if TYPE_CHECKING:
    from appliance.media.capacity.figures import GpuFigures
    from appliance.settings import EncoderPreference

LADDERS = Path(__file__).resolve().parents[4] / "files/ladders"
MIB = 1 << 20


def said(findings: list[Finding]) -> list[str]:
    return [finding.what for finding in findings]


SSHD = """usepam yes
permitrootlogin prohibit-password
passwordauthentication {}
kbdinteractiveauthentication {}
"""


@pytest.mark.parametrize(
    ("password", "keyboard", "pam", "seen"),
    [
        ("no", "no", "yes", None),
        ("no", "yes", "no", None),
        ("yes", "no", "yes", "passwordauthentication yes; permitrootlogin prohibit-password"),
        ("no", "yes", "yes", "kbdinteractiveauthentication yes; permitrootlogin prohibit-password"),
    ],
)
def test_passwords_over_ssh(password: str, keyboard: str, pam: str, seen: str | None) -> None:
    found = judge_sshd(SSHD.format(password, keyboard).replace("usepam yes", f"usepam {pam}"))
    assert [finding.seen for finding in found] == ([] if seen is None else [seen])


async def test_a_host_without_sshd_takes_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()

    async def absent(*_: str, **__: Any) -> Any:
        return await Host().run("/nowhere/sshd")

    monkeypatch.setattr(host, "run", absent)
    assert await login(host) == []


RUNS = {
    name: Unit(name, {"Id": name, "ActiveState": "active"})
    for name in ("apt-daily.timer", "apt-daily-upgrade.timer")
}
ON = "APT::Periodic::Unattended-Upgrade 1\n"


def test_updates() -> None:
    assert judge_updates(ON, RUNS, reboot=False) == []
    assert said(judge_updates(ON, RUNS, reboot=True)) == ["an update waits for a reboot"]
    for apt in ("", ON.replace("1", "0")):
        assert said(judge_updates(apt, RUNS, reboot=False)) == ["security updates are off"]
    [stopped] = judge_updates(ON, {"apt-daily.timer": RUNS["apt-daily.timer"]}, reboot=False)
    assert "apt-daily-upgrade.timer stopped" in stopped.seen
    assert "systemctl enable --now apt-daily-upgrade.timer" in stopped.mend


def certificate(*names: str, authority: str | None = None) -> x509.Certificate:
    """Return one for `names`, addresses among them; of `authority`, else self-signed."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "it")])
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, authority or "it")])
    listed: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
        for name in names
    ]
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=90))
    if listed:
        builder = builder.add_extension(x509.SubjectAlternativeName(listed), critical=False)
    return builder.sign(key, SHA256())


OTHER = "the certificate is for another name"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["live.example.net"], []),
        (["*.example.net"], []),
        (["cdn.example.org"], []),  # leads here
        (["192.0.2.7"], []),
        (["*.net"], [OTHER]),
        (["example.net"], [OTHER]),
        (["192.0.2.8"], [OTHER]),
        ([], [OTHER]),
    ],
)
def test_whom_a_certificate_is_for(names: list[str], expected: list[str]) -> None:
    places = {"cdn.example.org": frozenset({"192.0.2.7"}), "example.net": frozenset({"192.0.2.9"})}
    leads = {name: place for name, place in places.items() if name in names}
    found = certificate(*names, authority="An Authority")
    assert said(judge_names(found, {"live.example.net"}, {"192.0.2.7"}, leads)) == expected


async def test_a_self_signed_certificate_is_found_in_the_file_that_delivery_has(tmp_path: Path) -> None:
    file = tmp_path / "site.crt"
    host = Host(nginx_directory=tmp_path, names=("live.example.net",))
    assert await tls(host) == []
    (tmp_path / "delivery.conf").write_text(f"    ssl_certificate {file};\n")
    file.write_bytes(certificate("live.example.net").public_bytes(Encoding.PEM))
    assert said(await tls(host)) == ["the certificate is self-signed"]
    file.write_bytes(certificate("live.example.net", authority="An Authority").public_bytes(Encoding.PEM))
    assert await tls(host) == []


async def test_a_host_that_does_not_know_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    assert await names(Host()) == []
    monkeypatch.setattr(identity, "_addresses", lambda _: frozenset())
    assert said(await names(Host())) == ["the host does not know its own name"]


def test_room_for_the_streams() -> None:
    # the figure of roles/origin/defaults: 8 Mb/s in all, 10 segments of 2 s, about 60 MB
    ladder = load_ladder(LADDERS / "default.yml")
    kbps = sum(rung.video_kbps for rung in ladder.rungs) + max(rung.audio_kbps for rung in ladder.rungs)
    each = stream_bytes(Settings(), ladder)
    assert each / kbps * 8000 == pytest.approx(56e6)
    longer = stream_bytes(Settings(window_segments=300), ladder)
    assert longer > 20 * each
    assert judge_capacity(1024 * MIB, 100 * MIB, 10) == []
    few, none = judge_capacity(1024 * MIB, 100 * MIB, 11), judge_capacity(99 * MIB, 100 * MIB, 1)
    assert [one.severity for one in (*few, *none)] == [Severity.WARNING, Severity.CRITICAL]


async def test_room_is_wanted_for_registered_streams_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered = ["a", "b", "c"]

    class Kept:
        def __init__(self, _: object) -> None:
            pass

        async def page(self, *, after: str, limit: int) -> list[SimpleNamespace]:
            assert limit > 0
            return [SimpleNamespace(name=name) for name in registered if name > after][:2]

    async def given(_: Host, ask: Any) -> Any:
        return await ask(None)

    async def silent(*_: Any) -> Any:
        raise StateUnavailableError("Valkey: silent")

    each = stream_bytes(Settings(), load_ladder(LADDERS / "default.yml"))
    room = Room(tmp_path, int(2.5 * each), 0, 0, 0)
    monkeypatch.setattr(capacity, "ladder_path", lambda _: LADDERS / "default.yml")
    monkeypatch.setattr(Room, "of", lambda _: room)
    monkeypatch.setattr(valkey, "Registry", Kept)
    monkeypatch.setattr(valkey, "asked", given)
    host = Host(settings=Settings(allowed_stream_keys=("c", "d")))
    [finding] = await capacity.capacity(host)
    assert "room for 4 is wanted" in finding.seen
    monkeypatch.setattr(valkey, "asked", silent)
    assert await capacity.capacity(host) == []


TRIED = Load("2026-01-01T00:00:00+00:00", 600.0, 4, 900, (), "1.0", 8, 16000)


@pytest.mark.parametrize(
    ("changes", "live", "expected"),
    [
        ({}, 4, []),
        ({"memory_mib": 16300}, 0, []),
        ({"troubles": ("FFmpeg of stream x does not keep up",)}, 0, ["the load that was tried was too much"]),
        ({"release": "0.9"}, 0, ["the load was tried with another release or machine"]),
        ({"cores": 16}, 0, ["the load was tried with another release or machine"]),
        ({"memory_mib": 32000}, 0, ["the load was tried with another release or machine"]),
        ({}, 5, ["more is live than was ever tried"]),
    ],
)
def test_the_load_that_was_tried(changes: dict[str, Any], live: int, expected: list[str]) -> None:
    assert said(judge_load(replace(TRIED, **changes), live, "1.0", 8, 16000)) == expected


@pytest.mark.parametrize("text", [None, "", "{}", '{"streams": "many"}', "[]"])
async def test_a_load_that_was_never_tried(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "load.json"
    if text is not None:
        file.write_text(text)
    assert said(await load(Host(load_file=file))) == ["the load was never tried"]


async def test_what_is_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = iter([3, 2, 3])

    async def summary(_: Host) -> dict[str, Any]:
        return {"streams_live": next(live, 2), "connections": 40}

    monkeypatch.setattr("appliance.ops.doctor.load.summary", summary)
    host = Host(settings=Settings(media_root=str(tmp_path / "hls")), load_file=tmp_path / "var/load.json")
    behind = {
        "state": "live",
        "updated": datetime.now(UTC).isoformat(),
        "ffmpeg": {},
        "speed": 0.5,
        "behind": 9.0,
    }
    stream = tmp_path / "hls/x7"
    stream.mkdir(parents=True)
    (stream / "status.json").write_text(json.dumps(behind))
    found = await measure(host, 0.05, pause=0.01)
    assert (found.streams, found.connections) == (2, 40)
    assert found.troubles == ("FFmpeg of stream x7 does not keep up",)
    assert (found.release, found.cores, found.memory_mib) == (release(), *machine())
    found.write(host.load_file)
    assert Load.read(host.load_file) == found
    assert json.loads(host.load_file.read_text()) == asdict(found) | {"troubles": list(found.troubles)}
    assert said(await load(host)) == ["the load that was tried was too much"]


MEASURED = measured(machine=Machine("a CPU", 4))
L4 = Gpu(0, "GPU-0", "NVIDIA L4", "550.163.01")


@pytest.mark.parametrize(
    ("machine", "ffmpeg", "mark", "expected"),
    [
        (Machine("a CPU", 4), MADE.ffmpeg, MADE.ladder_mark, []),
        (Machine("a CPU", 4), "", "", []),  # neither can be asked
        (Machine("a CPU", 8), "8.0", "new", []),  # the check `encoders` says that it is another one
        (Machine("a CPU", 4), "8.0", "", ["what can be encoded was measured with another FFmpeg or ladder"]),
        (Machine("a CPU", 4), "", "new", ["what can be encoded was measured with another FFmpeg or ladder"]),
    ],
)
def test_a_measurement_holds_for_what_it_was_made_with(
    machine: Machine, ffmpeg: str, mark: str, expected: list[str]
) -> None:
    assert said(judge_encoding(MEASURED, Here(machine, ffmpeg, mark))) == expected


@pytest.mark.parametrize(
    ("measured_gpus", "here", "expected", "seen"),
    [
        ([], [L4], ["what the GPU encodes was never measured"], "GPU 0: NVIDIA L4"),
        ([], [], [], ""),
        ([gpu(0)], [L4], [], ""),
        ([gpu(0)], [replace(L4, index=1)], [], ""),  # one before it was put in, which is in MIG mode
        ([gpu(0)], [], [], ""),  # nvidia-smi does not answer, of which the check `gpu` tells
        (
            [gpu(0)],
            [replace(L4, uuid="GPU-9")],
            ["the GPUs that were measured are not those of now"],
            "GPU 0, NVIDIA L4 (GPU-9), is new; GPU 0, NVIDIA L4 (GPU-0), is gone",
        ),
        (
            [gpu(0), gpu(1)],
            [L4],
            ["the GPUs that were measured are not those of now"],
            "GPU 1, NVIDIA L4 (GPU-1), is gone",
        ),
        (
            [gpu(0)],
            [replace(L4, driver="580.65.06")],
            ["what the GPU encodes was measured with another driver, FFmpeg or ladder"],
            "measured with the driver 550.163.01, here is 580.65.06",
        ),
    ],
)
def test_what_gpus_encode_holds_for_those_gpus_and_their_driver(
    measured_gpus: list[GpuFigures], here: list[Gpu], expected: list[str], seen: str
) -> None:
    machine = Machine("a CPU", 4)
    capacity = measured(*measured_gpus, machine=machine)
    found = judge_encoding(capacity, Here(machine, MADE.ffmpeg, MADE.ladder_mark, here))
    assert said(found) == expected
    assert [finding.seen for finding in found] == [seen] * len(expected)
    if expected:
        assert "appliance gpu probe" in found[0].mend
    changed = judge_encoding(measured(*measured_gpus, cpu=None), Here(machine, "8.0", "new", here))
    if measured_gpus and here and not expected:
        assert said(changed) == ["what the GPU encodes was measured with another driver, FFmpeg or ladder"]


@pytest.mark.parametrize("text", [None, '{"version": 1}'])
async def test_a_host_that_nobody_measured(
    tmp_path: Path, text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "capacity.json"
    if text is not None:
        file.write_text(text)
    (tmp_path / "nvidia-smi").write_text(
        "#!/bin/sh\necho '0, GPU-0, NVIDIA L4, 550.163.01, [N/A]'\n", encoding="utf-8"
    )
    (tmp_path / "nvidia-smi").chmod(0o755)
    [finding] = await encoding(Host(settings=Settings(capacity_file=str(file))))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = await encoding(Host(settings=Settings(capacity_file=str(file))))
    assert said(found) == [finding.what, "what the GPU encodes was never measured"]
    assert said(await encoding(Host(settings=Settings(capacity_file=str(file), encoder="x264")))) == said(
        [finding]
    )
    assert finding.what == "nobody knows how many streams can be encoded"
    assert "appliance cpu probe" in finding.mend
    assert await encoding(Host(settings=Settings(capacity_file=str(file), admission="off"))) == []
    file.write_text("{")
    assert (
        await encoding(Host(settings=Settings(capacity_file=str(file)))) == []
    )  # the check `encoders` says it


async def test_what_was_measured_is_readable_and_of_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "capacity.json"
    host = Host(settings=Settings(capacity_file=str(file)))
    assert await encoders(host) == []  # nobody has measured: the checklist asks for it
    for text in ("{", "", '{"version": 2}'):
        file.write_text(text)
        [finding] = await encoders(host)
        assert finding.what == "what can be encoded cannot be read"
        assert finding.seen.startswith(f"{file}: no measurement of version 1")
        assert "appliance cpu probe" in finding.mend
        assert await encoders(Host(settings=Settings(capacity_file=str(file), admission="off"))) == []
    here = Machine.here()
    write_capacity(file, measured(machine=here))
    assert await encoders(host) == []
    write_capacity(file, measured(machine=replace(here, cores=here.cores + 1)))
    [finding] = await encoders(host)
    assert finding.what == "what can be encoded was measured on another machine"
    assert f"here are {here.cores} " in finding.seen


async def test_nvenc_that_is_set_where_there_is_no_gpu(tmp_path: Path) -> None:
    device = tmp_path / "nvidiactl"

    async def found(encoder: EncoderPreference) -> list[Finding]:
        settings = Settings(encoder=encoder, capacity_file=str(tmp_path / "none"))
        return await encoders(Host(settings=settings, nvidia_device=device))

    [finding] = await found("nvenc")
    assert (finding.what, finding.severity) == ("no stream can be encoded", Severity.CRITICAL)
    assert "encoder: auto" in finding.mend
    assert await found("auto") == await found("x264") == []
    device.touch()
    assert await found("nvenc") == []
