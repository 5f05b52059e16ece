"""The role's own FFmpeg, built from source on a lab host and put to use under a stream that plays on.

`make ffmpeg-build`: it compiles for minutes, so it is not in `make test`. The tests follow each other
on one host. APPLIANCE_TEST_PACKAGES names a folder of built packages (`.cache/packages`), and saves
compiling.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support import gpu_options, player
from tests.support.encoder import Publisher, Signal
from tests.support.site import STREAMS, TOP, Site, provisioned
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

LAB = "ffmpeg"
STREAM = STREAMS[0]
UNIT = f"stream@{STREAM}.service"
VARIABLES: dict[str, Any] = yaml.safe_load((TOP / "roles/ffmpeg/vars/main.yml").read_text())
PACKAGE, BUILT = VARIABLES["_ffmpeg_package"], VARIABLES["_ffmpeg_built"]
IN_USE, DISTRIBUTED = VARIABLES["_ffmpeg_in_use"], VARIABLES["_ffmpeg_distributed"]
RECORD = VARIABLES["_ffmpeg_record"]

CACHE = TOP / ".cache/ffmpeg-build"
GIVEN = os.environ.get("APPLIANCE_TEST_PACKAGES", "")

# As long as it runs, it notes each moment in which a service would have found no FFmpeg that starts.
_LOOK = "while sleep 0.05; do ffmpeg -version >/dev/null 2>&1 || date +%T.%N >>/run/no-ffmpeg; done"


@pytest.fixture(scope="module")
def host() -> Iterator[Site]:
    """A host with the distribution's FFmpeg, and somebody who looks whether there is one."""
    with provisioned(LAB) as made:
        # of a host that was kept
        made.run("systemctl", "stop", "no-ffmpeg.service", check=False)
        made.run("rm", "-f", "/run/no-ffmpeg")
        made.run("systemd-run", "--unit=no-ffmpeg", "/bin/sh", "-c", _LOOK)
        yield made


@pytest.fixture(scope="module", autouse=True)
def stream(host: Site) -> Iterator[None]:
    """A stream that is live all the while."""
    with Publisher(host.rtmp(STREAM), Signal(width=640, height=360)):
        player.wait_for(host.hls(STREAM), segments=2, seconds=60)
        yield


def build(host: Site, *arguments: str, **settings: Any) -> str:
    """Apply the role with `ffmpeg_source: build`, and a cache of this suite's own."""
    own = {"ffmpeg_source": "build", "built_package_cache": str(CACHE)}
    return host.apply("--tags=ffmpeg", *arguments, **own, **settings)


def refused(host: Site, **settings: Any) -> str:
    """Return what a run said that failed, in one line."""
    with pytest.raises(AssertionError) as failure:
        build(host, **settings)
    return " ".join(str(failure.value).split())


def package() -> Path:
    """Return the package that was built."""
    return next(CACHE.glob(f"*/{PACKAGE}_*.deb"))


@pytest.fixture(scope="module", autouse=True)
def cache() -> None:
    """A folder without a package, or with a given one."""
    shutil.rmtree(CACHE, ignore_errors=True)
    if GIVEN:
        shutil.copytree(GIVEN, CACHE)


def changed(said: str) -> int:
    """Return how many tasks changed something."""
    return int(re.findall(r"changed=(\d+)", said)[-1])


def pids(host: Site) -> tuple[str, str]:
    """Return the processes of the stream and of its FFmpeg."""
    main = host.property(UNIT, "MainPID")
    return main, host.run("pgrep", "--parent", main, "--exact", "ffmpeg").stdout.strip()


def program(host: Site, pid: str) -> str:
    """Return the file that a process runs."""
    return host.run("readlink", f"/proc/{pid}/exe").stdout.strip()


def found(host: Site) -> str:
    """Return what FFmpeg a service finds says of its version."""
    said = host.run("systemd-run", "--quiet", "--wait", "--pipe", "ffmpeg", "-version").stdout
    return said.split()[2]


def test_check_mode_changes_nothing(host: Site) -> None:
    said = build(host, "--check")
    assert ("it would be built" in said) == (not GIVEN)
    assert host.run("test", "-e", IN_USE, check=False).returncode == 1
    assert not host.run("dpkg-query", "-W", PACKAGE, check=False).stdout


def test_it_is_built_and_put_to_use_under_a_stream(host: Site) -> None:
    before = pids(host)
    assert "appliance" not in found(host)
    build(host)
    assert found(host).endswith("-appliance")
    assert pids(host) == before
    assert program(host, before[1]) == DISTRIBUTED


def test_a_second_run_changes_nothing(host: Site) -> None:
    assert changed(build(host)) == 0
    assert changed(build(host, "--check")) == 0


def test_a_new_run_of_the_stream_has_the_built_one(host: Site) -> None:
    main, encoder = pids(host)
    host.run("kill", encoder)
    until("another FFmpeg", lambda: pids(host)[1] not in {"", encoder}, 20)
    assert pids(host)[0] == main
    assert program(host, pids(host)[1]) == IN_USE
    first = player.multivariant(host.hls(STREAM)).variants[0].url
    player.wait_for_number(first, player.media(first).last + 3)


def test_nvenc_is_there_and_says_that_there_is_no_gpu(host: Site) -> None:
    done = host.run(
        IN_USE, "-v", "error", "-f", "lavfi", "-i", "color=black:size=320x180", "-frames:v", "1",
        "-c:v", "h264_nvenc", "-f", "null", "-", check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Cannot load libcuda.so.1" in done.stderr


@pytest.mark.parametrize("gpu_decodes", [False, True])
@pytest.mark.parametrize("program", [IN_USE, DISTRIBUTED])
def test_it_takes_every_option_that_a_gpu_is_given(host: Site, program: str, gpu_decodes: bool) -> None:
    clip = "/run/clip.flv"
    host.run(program, *gpu_options.CLIP, clip)
    words = gpu_options.command(program, gpu_decodes=gpu_decodes)
    done = host.run(*gpu_options.as_a_stream_has_it(words, clip), check=False)
    assert gpu_options.complaints(done.returncode, done.stderr) == []


def test_one_that_does_not_prove_itself_replaces_nothing(host: Site) -> None:
    """A package whose program starts and lacks everything, as a cached one may on another CPU."""
    version = "9.9.9-1+r00000000"
    stand_in = stub(package().parent, version)
    before = host.run("sha256sum", IN_USE).stdout
    try:
        said = refused(host, ffmpeg_version=version)
        assert "It was not put to use; the FFmpeg before it still is." in said
    finally:
        stand_in.unlink()
    assert host.run("sha256sum", IN_USE).stdout == before
    assert found(host).endswith("-appliance")
    # and the way on: the proven one, installed again
    build(host)
    assert changed(build(host)) == 0


def stub(folder: Path, version: str) -> Path:
    """Make a package of that version, whose program does nothing."""
    with tempfile.TemporaryDirectory() as draft:
        root = Path(draft)
        root.chmod(0o755)
        file = root / BUILT.removeprefix("/")
        file.parent.mkdir(parents=True)
        file.write_text("#!/bin/sh\necho ffmpeg version stub-appliance\n")
        file.chmod(0o755)
        (root / "DEBIAN").mkdir()
        (root / "DEBIAN/control").write_text(
            f"Package: {PACKAGE}\nVersion: {version}\nArchitecture: all\n"
            "Maintainer: test <root@localhost>\nDescription: a stub\n"
        )
        command = ["dpkg-deb", "--root-owner-group", "--build", draft, str(folder)]
        subprocess.run(command, check=True, capture_output=True)
    return folder / f"{PACKAGE}_{version}_all.deb"


def test_a_program_of_somebody_else_is_left_alone(host: Site) -> None:
    host.run("mv", IN_USE, f"{IN_USE}.kept")
    host.run("sh", "-c", f"printf '#!/bin/sh\\nexec {DISTRIBUTED} \"$@\"\\n' >{IN_USE}; chmod 755 {IN_USE}")
    try:
        assert f"{IN_USE} is not of this role" in refused(host)
        assert host.run("cat", IN_USE).stdout.startswith("#!/bin/sh")
    finally:
        host.run("mv", f"{IN_USE}.kept", IN_USE)


def test_back_to_the_distributions(host: Site) -> None:
    before = pids(host)
    assert program(host, before[1]) == IN_USE
    host.apply("--tags=ffmpeg")
    assert "appliance" not in found(host)
    assert pids(host) == before
    assert program(host, before[1]) == f"{IN_USE} (deleted)"
    assert not host.run("dpkg-query", "-W", PACKAGE, check=False).stdout
    assert changed(host.apply("--tags=ffmpeg")) == 0
    assert changed(host.apply("--tags=ffmpeg", "--check")) == 0


def test_one_that_does_not_start_any_more_is_replaced(host: Site) -> None:
    """Of a program that needs a library that is gone, only its checksum tells whose it is."""
    build(host)
    broken = f"{IN_USE}.broken"  # renamed: a program that runs cannot be written to
    host.run("sh", "-c", f"echo gone >{broken} && sha256sum <{broken} | cut -d' ' -f1 >>{RECORD}")
    host.run("sh", "-c", f"chmod 755 {broken} && mv {broken} {IN_USE}")
    try:
        build(host)
        assert found(host).endswith("-appliance")
    finally:
        # The looking began to note that there was none.
        host.run("rm", "-f", "/run/no-ffmpeg")


def test_a_copy_whose_package_was_purged_does_not_stay(host: Site) -> None:
    build(host)
    host.run("apt-get", "purge", "--yes", PACKAGE)
    assert found(host).endswith("-appliance")
    host.apply("--tags=ffmpeg")
    assert "appliance" not in found(host)
    for left in (IN_USE, RECORD):
        assert host.run("test", "-e", left, check=False).returncode == 1
    assert changed(host.apply("--tags=ffmpeg")) == 0


def test_there_was_an_ffmpeg_at_any_time(host: Site) -> None:
    assert host.property("no-ffmpeg.service", "ActiveState") == "active"
    assert host.run("cat", "/run/no-ffmpeg", check=False).stdout == ""
    assert host.property(UNIT, "NRestarts") == "0"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's files: a lab host keeps nothing of /usr/share/doc."""
    folder = tmp_path_factory.mktemp("package")
    subprocess.run(["dpkg-deb", "--extract", str(package()), str(folder)], check=True)
    return folder


def test_what_it_was_built_from_can_be_read(unpacked: Path) -> None:
    said = (unpacked / f"usr/share/doc/{PACKAGE}/build-info").read_text()
    assert re.search(r"^ [0-9a-f]{64} ffmpeg_\S+\.orig\.tar\.xz$", said, re.MULTILINE)
    assert "--disable-everything" in said
    for flag in ("-fstack-protector-strong", "-fstack-clash-protection", "-Wl,-z,relro", "-Wl,-z,now"):
        assert flag in said


@pytest.mark.skipif(shutil.which("readelf") is None, reason="binutils are not installed here")
def test_the_program_is_hardened(unpacked: Path) -> None:
    command = ["readelf", "--wide", "--file-header", "--program-headers", "--dynamic", "--symbols"]
    file = unpacked / BUILT.removeprefix("/")
    said = subprocess.run([*command, str(file)], check=True, capture_output=True, text=True).stdout
    assert "DYN (Position-Independent Executable file)" in said
    assert "BIND_NOW" in said
    assert "GNU_RELRO" in said
    assert "__stack_chk_fail" in said
    assert re.search(r"__\w+_chk\b", said)  # _FORTIFY_SOURCE
    assert re.search(r"GNU_STACK .* RW ", said)
