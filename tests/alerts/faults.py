"""What is broken on a host, how, which alerts have to fire for it, and how it is mended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.site import Site
from tests.support.stub_backend import StubBackend, answer

HUNG, SLOW, CLOSED, GONE = STREAMS = ("test-0", "test-1", "test-2", "test-3")
"""What is published, each to be broken in its own way."""

HUNG_FOLDER = "/run/appliance-hung"
"""On the host: an FFmpeg that does nothing while the file `hung` is there; `stand_in` puts it there."""


@dataclass(frozen=True)
class Bench:
    """The host, and the backend that it asks."""

    site: Site
    backend: StubBackend


Step = str | Callable[[Bench], None]
"""A shell script for the host, or what is done on this machine."""


@dataclass(frozen=True)
class Fault:
    """One fault, the alerts that it has to make fire, and whatever mends it."""

    name: str
    alerts: tuple[str, ...]
    plant: Step
    mend: Step
    stream: str = ""
    """The one that the alerts have to be about; "" for any, or none."""


def done(step: Step, bench: Bench) -> None:
    """Carry out a step."""
    if callable(step):
        step(bench)
    else:
        bench.site.run("sh", "-c", step)


def stand_in(site: Site, stream: str) -> None:
    """Give the unit of `stream`, when it is started the next time, an FFmpeg that can be made to hang."""
    dropin = f"/run/systemd/system/stream@{stream}.service.d"
    program = f'#!/bin/sh\n[ ! -e {HUNG_FOLDER}/hung ] || exec sleep 1000\nexec /usr/bin/ffmpeg "$@"\n'
    setting = f"[Service]\nEnvironment=PATH={HUNG_FOLDER}:/usr/bin:/bin\n"
    site.run(
        "sh", "-ec", 'mkdir -p "$1" "$2"; printf %s "$3" >"$1/ffmpeg"; chmod 755 "$1/ffmpeg"; '
        'printf %s "$4" >"$2/hung.conf"; systemctl daemon-reload',
        "sh", HUNG_FOLDER, dropin, program, setting,
    )  # fmt: skip


@contextmanager
def _memory_group(megabytes: int) -> Iterator[Path]:
    """Give a control group of this machine with so much memory; in either version of them."""
    old = Path("/sys/fs/cgroup/memory")
    top = old if old.is_dir() else old.parent
    group = top / f"appliance-alerts-{os.getpid()}"
    group.mkdir()
    size = f"{megabytes * 2**20}"
    # In each the bound, then that nothing is swapped; not every machine has the latter.
    files = ("limit_in_bytes", size), ("memsw.limit_in_bytes", size), ("max", size), ("swap.max", "0")
    try:
        for name, value in files:
            if (file := group / f"memory.{name}").exists():
                file.write_text(value)
        yield group
    finally:
        group.rmdir()


def kill_for_memory(_: Bench) -> None:
    """Have the kernel kill a process that wants more than its group has.

    On this machine: the counter is the machine's, a lab host has the same, and not every machine lets a
    container bound its memory.
    """
    with _memory_group(20) as group:
        greedy = f"echo $$ >{group}/cgroup.procs; exec python3 -c 'b\"x\" * 10**9'"
        assert subprocess.run(["sh", "-c", greedy], check=False).returncode != 0


def nothing(_: Bench) -> None:
    """What is over by itself."""


def hang_up(bench: Bench) -> None:
    """The backend ends each connection without an answer."""
    bench.backend.replies = [b""]


def answer_late(bench: Bench) -> None:
    """The backend takes its time, though less than it is given."""
    bench.backend.seconds = 1.2


def answer_well(bench: Bench) -> None:
    """The backend lets everybody in, at once."""
    bench.backend.replies, bench.backend.seconds = [answer(200)], 0.0


_CREDENTIALS = "/etc/appliance/credentials"
_SETTINGS = "/etc/appliance/appliance.yml"
_ALERT_RULES = "/etc/prometheus/appliance-rules"
_WEBHOOK = "/etc/prometheus/appliance-webhook-url"
_TLS = "/etc/appliance/tls/self-signed"
_CERTIFICATE = (
    f"cp -a {_TLS}.crt {_TLS}.crt.kept; cp -a {_TLS}.key {_TLS}.key.kept; "
    "make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=other "
    f'-keyout {_TLS}.key -out {_TLS}.crt "$@" 2>/dev/null; chgrp appliance-delivery {_TLS}.key; '
    f"chmod 0640 {_TLS}.key; }};"
)
_GIVE_TLS = (
    f"mv {_TLS}.crt.kept {_TLS}.crt; mv {_TLS}.key.kept {_TLS}.key; systemctl reload appliance-delivery"
)
_MASTER_KEYS_TIMER = "/etc/systemd/system/timers.target.wants/appliance-rotate-master-key.timer"
_RESTART_CONTROL = "systemctl restart appliance-control"
_VALKEY = (
    'valkey() { REDISCLI_AUTH=$(head -n1 /etc/appliance/credentials/valkey-password | cut -d" " -f1) '
    'valkey-cli -s /run/valkey/valkey.sock --no-auth-warning "$@"; };'
)
_MAIN = 'main() { systemctl show --value -p MainPID "$1"; };'

# What nvidia-smi prints for the fields of appliance/control/metrics/gpu.py.
_HOT_GPU = "0, 97, 90, 5, 81000, 81559, 93, 3"

# A mark as appliance/media/encode/gpu_marks.py has it, of a GPU that nobody tries for ten minutes.
_MARK = "/run/appliance-stream/gpu-GPU-test.json"
_FAILED_GPU = (
    '{"gpu": {"uuid": "GPU-test", "index": 0}, "reason": "a test", "since": 1, "tries": 1, '
    '"again_at": %d, "works_since": null}'
)

# Of nobody that may: on the host itself, which is never banned.
_STRANGER = (
    "while :; do ffmpeg -v quiet -f lavfi -i anullsrc -t 1 -c:a aac -f flv rtmp://127.0.0.1/live/nobody; "
    "sleep 0.3; done"
)

# A process that lives by moments: often enough for its watchdog (10 s), too seldom for what it is sent.
_BY_MOMENTS = "while kill -STOP $pid; do sleep 8; kill -CONT $pid; sleep 0.4; done"

GROUPS: dict[str, list[Fault]] = {
    "streams": [
        Fault(
            "a stream's FFmpeg hangs, and so does the next",
            ("StreamStalled", "ReloadsWaitLong"),
            f"{_MAIN} touch {HUNG_FOLDER}/hung; pkill -KILL -P $(main stream@{HUNG}) ffmpeg",
            f"{_MAIN} rm {HUNG_FOLDER}/hung; pkill -KILL -P $(main stream@{HUNG}) sleep; true",
            HUNG,
        ),
        Fault(
            "a stream's FFmpeg takes half of what comes",
            ("EncodingSlow", "PackagingLate", "StreamAiling"),
            "touch /run/appliance-test/slow",
            "rm /run/appliance-test/slow",
            SLOW,
        ),
        Fault(
            "folders of a stream are closed to it",
            ("SegmentsLost", "StreamAiling"),
            f"chmod u-w /srv/hls/{CLOSED}/*/*/",
            f"chmod u+w /srv/hls/{CLOSED}/*/*/",
            CLOSED,
        ),
        Fault(
            "a stream's unit is stopped and masked",
            ("StreamProcessSilent",),
            f"systemctl mask --runtime --now stream@{GONE}",
            f"systemctl unmask --runtime stream@{GONE}; systemctl start stream@{GONE}",
            GONE,
        ),
        Fault(
            "the control service runs with other settings than the streams, and an old master key and timer",
            ("RotationOverdue", "ContentKeyOld"),
            f"cp -a {_SETTINGS} {_SETTINGS}.kept; echo 'rotation_seconds: 10' >>{_SETTINGS}; "
            f"cp -a {_CREDENTIALS}/content-keyring /root/keyring; chmod u+w {_CREDENTIALS}/content-keyring; "
            f'sed -i -E \'s/("created": ")[0-9]{{4}}/\\12020/g\' {_CREDENTIALS}/content-keyring; '
            f"touch -h -d 2021-01-01 {_MASTER_KEYS_TIMER}; {_RESTART_CONTROL}",
            f"touch -h {_MASTER_KEYS_TIMER}; mv {_SETTINGS}.kept {_SETTINGS}; "
            f"mv /root/keyring {_CREDENTIALS}/content-keyring; {_RESTART_CONTROL}",
        ),
        Fault(
            "delivery shows a certificate that ends soon",
            ("CertificateEndsSoon",),
            f"{_CERTIFICATE} make -days 5; systemctl reload appliance-delivery",
            _GIVE_TLS,
        ),
        Fault(
            "Valkey has little room",
            ("ValkeyFull",),
            f"{_VALKEY} valkey CONFIG GET maxmemory | tail -n1 >/root/maxmemory; valkey CONFIG SET maxmemory "
            "$(( $(valkey INFO memory | sed -n 's/^used_memory:\\([0-9]*\\).*/\\1/p') * 106 / 100 ))",
            f"{_VALKEY} valkey CONFIG SET maxmemory $(cat /root/maxmemory)",
        ),
        Fault(
            "Valkey's folder is closed to it",
            ("ValkeyCannotSave",),
            f"{_VALKEY} chmod u-w /var/lib/valkey; valkey BGREWRITEAOF",
            f"{_VALKEY} chmod u+w /var/lib/valkey; valkey BGREWRITEAOF",
        ),
        Fault(
            "an event nobody would take",
            ("EventsGivenUp",),
            f"{_VALKEY} valkey XADD appliance:events:dead '*' "
            "id evt_x type test stream x body {} reason 500",
            f"{_VALKEY} valkey DEL appliance:events:dead",
        ),
        Fault(
            "what stands in for nvidia-smi tells of a hot, full GPU",
            ("GpuHot", "GpuMemoryFull"),
            f"printf '#!/bin/sh\\necho \"{_HOT_GPU}\"\\n' >/usr/bin/nvidia-smi; "
            "chmod 755 /usr/bin/nvidia-smi",
            "rm /usr/bin/nvidia-smi",
        ),
        Fault(
            "a stream has marked a GPU as failed",
            ("GpuFailed",),
            f"printf '{_FAILED_GPU}' $(($(date +%s) + 600)) >{_MARK}; "
            f"chgrp appliance-media {_MARK}; chmod 640 {_MARK}",
            f"rm {_MARK}",
        ),
        Fault(
            "rules that are none",
            ("RulesNotLoaded",),
            f"echo broken >{_ALERT_RULES}/broken.rules.yml; systemctl reload prometheus",
            f"rm {_ALERT_RULES}/broken.rules.yml; systemctl reload prometheus",
        ),
        Fault(
            "nobody listens where alerts go",
            ("AlertsNotSent",),
            f"cp -a {_WEBHOOK} {_WEBHOOK}.kept; echo http://127.0.0.1:9/ >{_WEBHOOK}",
            f"mv {_WEBHOOK}.kept {_WEBHOOK}",
        ),
        # The last, as it is over by itself while the others are planted.
        Fault("a process wants too much memory", ("KilledForMemory",), kill_for_memory, nothing),
    ],
    "viewers and publishers": [
        Fault(
            "the backend takes its time",
            ("BackendSlow", "DecisionsSlow"),
            answer_late,
            answer_well,
        ),
        Fault(
            "somebody tries to publish who may not",
            ("ManyPublishesRefused",),
            f"systemd-run -q --unit=stranger sh -c '{_STRANGER}'",
            "systemctl stop stranger",
        ),
        Fault(
            "the memory for media is nearly full",
            ("MediaMemoryFull",),
            "mount -o remount,size=200m /srv/hls; free=$(df --output=avail -B1 /srv/hls | tail -n1); "
            "head -c $((free - 8000000)) /dev/zero >/srv/hls/ballast",
            "rm /srv/hls/ballast; mount -o remount,size=25% /srv/hls",
        ),
        Fault(
            "a stream's process hardly gets to run",
            ("PicturesDropped",),
            # Its socket is made to hold no more seconds than of a stream with many times the bitrate.
            f"{_MAIN} cd /proc/sys/net/ipv4; cat tcp_rmem >/root/tcp_rmem; cat tcp_wmem >/root/tcp_wmem; "
            "echo 4096 8192 8192 | tee tcp_rmem >tcp_wmem; "
            f"systemctl restart stream@{HUNG}; pid=$(main stream@{HUNG}); "
            f'systemd-run -q --unit=moments sh -c "{_BY_MOMENTS}"',
            f"{_MAIN} systemctl stop moments; kill -CONT $(main stream@{HUNG}); cd /proc/sys/net/ipv4; "
            f"cat /root/tcp_rmem >tcp_rmem; cat /root/tcp_wmem >tcp_wmem; systemctl restart stream@{HUNG}",
            HUNG,
        ),
    ],
    "the backend": [
        Fault(
            "the backend hangs up",
            ("BackendSilent", "DecisionsFail", "DeliveryFails"),
            hang_up,
            answer_well,
        ),
        Fault(
            "and events come",
            ("EventsPileUp",),
            f'{_VALKEY} for n in $(seq 150); do echo "XADD appliance:events * id evt_$n type test stream x '
            'body {}"; done | valkey',
            nothing,
        ),
        Fault(
            "the node-exporter is stopped",
            ("HostSilent",),
            "systemctl stop prometheus-node-exporter",
            "systemctl start prometheus-node-exporter",
        ),
    ],
    "a certificate that is over": [
        Fault(
            "delivery shows a certificate that is over",
            ("CertificateOver",),
            f"{_CERTIFICATE} make -not_before 20200101000000Z -not_after 20210101000000Z; "
            "systemctl reload appliance-delivery",
            _GIVE_TLS,
        ),
    ],
    "Valkey's disk": [
        Fault(
            "Valkey's file system is full",
            ("ValkeyCannotWrite",),
            "head -c 100M /dev/zero >/var/lib/valkey/ballast 2>/dev/null; "
            f"{_VALKEY} head -c 100000 /dev/zero | tr '\\0' x | valkey -x SET appliance-test || true",
            f"rm /var/lib/valkey/ballast; {_VALKEY} until valkey DEL appliance-test | grep -q '^[0-9]'; "
            "do sleep 0.2; done",
        ),
    ],
    "the CPU": [
        Fault(
            "something computes on every core",
            ("CpuBusy",),
            "for core in $(seq $(nproc)); do systemd-run -q --unit=busy-$core -p Nice=19 "
            "timeout 180 sh -c 'while :; do :; done'; done",
            "systemctl stop 'busy-*'",
        ),
    ],
    "services": [
        Fault(
            "Valkey is stopped",
            ("ValkeyDown",),
            "systemctl stop valkey-server",
            "systemctl start valkey-server",
        ),
        Fault(
            "ingest is stopped",
            ("IngestDown",),
            "systemctl stop appliance-ingest",
            "systemctl start appliance-ingest",
        ),
        Fault(
            "delivery is stopped",
            ("DeliveryDown",),
            "systemctl stop appliance-delivery",
            "systemctl start appliance-delivery",
        ),
    ],
}
"""What can be broken at the same time without hiding one another's traces."""

NOT_HERE = {
    "ClockWrong": "a container has the machine's clock, and nspawn lets it neither set nor ask about it",
    "MemoryShort": "/proc/meminfo is the machine's: its memory would have to be used up",
    "NoRoomForStreams": "its encoders would have to be measured, and full of streams",
    "DiskFull": "a container's disk is an overlay, which the rule leaves out, and it may not mount another",
}
"""Alerts that cannot be made fire on a lab host, and why; made-up series make them (promtool)."""
