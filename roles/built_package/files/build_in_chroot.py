#!/usr/bin/python3
"""Build a package of ours in a chroot that is thrown away, on a Debian build host.

mmdebstrap makes the chroot from the host's own apt sources (so also from a company's mirror), runs the
recipe's `build-package` in it and removes it; no compiler and no -dev package ever reaches the host itself.
With --look nothing is made: it says whether the wanted version is served. Else
standard output is one JSON object: ``package`` (file name), ``version``, ``warnings`` (list of str).
The log of a build that failed is kept in :data:`WORK_ROOT`, which is root's alone to write to.
Exit status: 0 built; 2 wrong use or a host that cannot build; 3 the wanted version is not served;
4 a source failed its verification; 5 a patch does not fit the wanted version; 6 what was built does not do
what it is for; else mmdebstrap's own.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

WORK_ROOT = Path("/var/lib/appliance-package-build")  # on disk: /tmp is memory on Debian 13
NEEDED_BYTES = 2_000_000_000  # measured: the chroot with FFmpeg peaks at 1.3 GB, with nginx at 0.8
INCLUDE = ("ca-certificates", "dpkg-dev", "sqv", "xz-utils")  # beside what the recipe's build-packages name
APT_OPTION_PREFIXES = ("Acquire::http", "Acquire::Check-", "Acquire::ForceIPv", "Acquire::Retries")


class BuildError(Exception):
    """The build cannot go on; ``code`` is the exit status."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class AptSource:
    """One archive the host installs from, as sources.list(5) describes it."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""

    def stanza(self, types: str = "deb deb-src") -> str:
        """Return it in deb822 form, with source packages."""
        lines = [
            f"Types: {types}",
            f"URIs: {' '.join(self.uris)}",
            f"Suites: {' '.join(self.suites)}",
            f"Components: {' '.join(self.components)}",
        ]
        if self.signed_by:
            lines.append(f"Signed-By: {self.signed_by}")
        return "\n".join(lines) + "\n"


def parse_one_line(text: str) -> Iterator[AptSource]:
    """Yield the binary archives of a sources.list file in the one-line form."""
    for line in text.splitlines():
        fields = line.split("#", 1)[0].split()
        if not fields or fields[0] != "deb":
            continue
        fields.pop(0)
        signed_by = ""
        if fields and fields[0].startswith("["):
            options: list[str] = []
            while fields:
                options.append(fields.pop(0))
                if options[-1].endswith("]"):
                    break
            for option in " ".join(options).strip("[] ").split():
                name, _, value = option.partition("=")
                if name == "signed-by":
                    signed_by = value
        if len(fields) >= 3:
            yield AptSource((fields[0],), (fields[1],), tuple(fields[2:]), signed_by)


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Yield the enabled binary archives of a .sources file."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in "\n".join(lines).split("\n\n"):
        values: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t") and key:
                values[key] += "\n" + line
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                values[key] = value.strip()
        if "deb" in values.get("types", "").split() and values.get("enabled", "yes").lower() not in (
            "no",
            "false",
        ):
            yield AptSource(
                tuple(values.get("uris", "").split()),
                tuple(values.get("suites", "").split()),
                tuple(values.get("components", "").split()),
                values.get("signed-by", ""),
            )


def debian_sources(etc_apt: Path, release: str) -> list[AptSource]:
    """Return the host's Debian archives of ``release`` (its own suite, updates, security), main only.

    Archives of other vendors are left out: they have other suites or no component `main`.
    """
    found: list[AptSource] = []
    for path in [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        found.extend((parse_deb822 if path.suffix == ".sources" else parse_one_line)(path.read_text()))
    wanted = {release, f"{release}-updates", f"{release}-security"}
    result: list[AptSource] = []
    for source in found:
        suites = tuple(suite for suite in source.suites if suite.strip("/") in wanted)
        if suites and "main" in source.components:
            result.append(AptSource(source.uris, suites, ("main",), source.signed_by))
    if not any(release in source.suites for source in result):
        raise BuildError(
            f"the apt sources of this host name no Debian archive with suite '{release}' and component "
            f"'main' (looked in {etc_apt}/sources.list and {etc_apt}/sources.list.d)"
        )
    return list(dict.fromkeys(result))


def build_packages(recipe: Path) -> list[str]:
    """Return what the recipe needs in the chroot."""
    lines = (recipe / "build-packages").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def apt_options() -> list[str]:
    """Return the host's apt settings that decide how the mirror is reached (proxy, dates, retries)."""
    dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    return [f"--aptopt={line}" for line in dump.splitlines() if line.startswith(APT_OPTION_PREFIXES)]


def source_package(recipe: Path) -> str:
    """Return the name of Debian's source package, by the recipe."""
    found = re.search(r"^source_package=(\S+)$", (recipe / "recipe.sh").read_text(), re.MULTILINE)
    return found[1] if found else ""


def is_served(wanted: str, listed: Sequence[str]) -> bool:
    """Say whether ``wanted`` names one of ``listed``, as build-package reads it.

    Without the epoch, and without Debian's revision where it has none.
    """
    wanted = wanted.partition(":")[2] or wanted
    bare = [version.partition(":")[2] or version for version in listed]
    return any(wanted in (version, version.rpartition("-")[0]) for version in bare)


def served_versions(package: str, sources: Sequence[AptSource]) -> list[str]:
    """Return the versions of a source package in the mirror's index, newest first; none where it is silent.

    With apt's own checks of the index, in a folder of its own: nothing of the host's apt changes.
    """
    with tempfile.TemporaryDirectory(prefix="appliance-served-") as folder:
        listing = Path(folder) / "appliance.sources"
        listing.write_text("\n".join(source.stanza("deb-src") for source in sources))
        for name in ("lists", "cache"):
            (Path(folder) / name / ("partial" if name == "lists" else "archives/partial")).mkdir(parents=True)
        options = {
            "Dir::Etc::SourceList": listing,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": f"{folder}/lists",
            "Dir::Cache": f"{folder}/cache",
            "APT::Sandbox::User": "root",
        }
        words = [f"--option={name}={value}" for name, value in options.items()]
        updated = subprocess.run(["apt-get", "-qq", *words, "update"], check=False, capture_output=True)
        if updated.returncode:
            return []
        asked = ["apt-cache", *words, "showsrc", "--only-source", package]
        shown = subprocess.run(asked, check=False, capture_output=True, text=True).stdout
    found = set(re.findall(r"^Version: (\S+)$", shown, re.MULTILINE))
    return sorted(found, key=functools.cmp_to_key(compare_versions), reverse=True)


def compare_versions(first: str, second: str) -> int:
    """Return -1, 0 or 1 by Debian's rules (deb-version(7)).

    The controller has the same in ``cached_package``; this script stands alone on the build host.
    """
    for relation, value in (("lt", -1), ("gt", 1)):
        if (
            subprocess.run(["dpkg", "--compare-versions", first, relation, second], check=False).returncode
            == 0
        ):
            return value
    return 0


def look(arguments: argparse.Namespace) -> None:
    """Find out whether the wanted version is served, before anything is installed or built for it.

    Where the mirror does not say, the build finds out.

    Raises:
        BuildError: it is not; the message names those that are.
    """
    if arguments.source != "debian" or not arguments.wanted_version:
        return
    listed = served_versions(
        source_package(arguments.recipe), debian_sources(Path("/etc/apt"), arguments.release)
    )
    if listed and not is_served(arguments.wanted_version, listed):
        variable = f"{arguments.software}_version"
        raise BuildError(
            f"{variable} '{arguments.wanted_version}' is not served; the index lists: {', '.join(listed)}. "
            "Nothing was installed or built. Name one of them, or leave it empty for the newest: "
            f"ansible-playbook playbooks/site.yml --tags={arguments.software} -e {variable}={listed[0]}",
            3,
        )


def hooks(arguments: argparse.Namespace, sources: Sequence[AptSource]) -> list[str]:
    """Return the mmdebstrap options that copy in what the build needs, run it, and copy out the result."""
    keys = sorted({source.signed_by for source in sources if source.signed_by.startswith("/")})
    options = [f'--setup-hook=install -D -m 0644 {shlex.quote(key)} "$1"{shlex.quote(key)}' for key in keys]
    if any(uri.startswith("https:") for source in sources for uri in source.uris):
        bundle = "/etc/ssl/certs/ca-certificates.crt"  # a company's mirror may have a company's authority
        options.append(f'--customize-hook=install -D -m 0644 {bundle} "$1"{bundle}')
    environment = {
        **arguments.settings,
        "PACKAGE": arguments.package,
        "SOFTWARE": arguments.software,
        "VERSION": arguments.wanted_version,
        "SOURCE_KIND": arguments.source,
        "UPSTREAM_SHA256": arguments.upstream_sha256,
        "RECIPE_HASH": arguments.recipe_hash,
    }
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    options.append(f'--customize-hook=cp -r {shlex.quote(str(arguments.recipe))} "$1/recipe"')
    options.append(
        f'--customize-hook=env {settings} chroot "$1" bash /recipe/build-package /recipe /build /result'
    )
    options.append(f'--customize-hook=cp "$1"/result/* {shlex.quote(str(arguments.output))}')
    return options


@contextlib.contextmanager
def work_directory() -> Iterator[Path]:
    """Give a folder for the chroot; a second build waits, and what a killed one left is removed first."""
    WORK_ROOT.mkdir(mode=0o700, exist_ok=True)
    with (WORK_ROOT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in WORK_ROOT.glob("run-*"):
            shutil.rmtree(left)
        free = shutil.disk_usage(WORK_ROOT).free
        if free < NEEDED_BYTES:
            raise BuildError(
                f"{WORK_ROOT} has {free // 10**6} MB free, the build needs {NEEDED_BYTES // 10**6} MB"
            )
        directory = Path(tempfile.mkdtemp(prefix="run-", dir=WORK_ROOT))
        directory.chmod(0o755)  # apt's unprivileged _apt user must reach the chroot below it
        WORK_ROOT.chmod(0o755)
        try:
            yield directory
        finally:
            shutil.rmtree(directory)


def build(arguments: argparse.Namespace) -> dict[str, object]:
    """Make the chroot, build in it, and return what was built.

    Raises:
        BuildError: the host cannot build, or the build failed; the message names the log.
    """
    if shutil.which("mmdebstrap") is None:
        raise BuildError("mmdebstrap is not installed: apt-get install mmdebstrap")
    sources = debian_sources(Path("/etc/apt"), arguments.release)
    if arguments.output.exists() and any(arguments.output.iterdir()):
        raise BuildError(f"{arguments.output} is not empty: what lies there would pass for what is built")
    arguments.output.mkdir(parents=True, exist_ok=True)
    with work_directory() as directory:
        log_file = WORK_ROOT / f"{arguments.package}.log"
        listing = directory / "appliance.sources"
        listing.write_text("\n".join(source.stanza() for source in sources))
        command = [
            # As root, mmdebstrap makes every mount of its namespace private. In the host's own that would be
            # for good, and systemd could give no service a credential any more.
            *("unshare", "--mount", "--propagation", "slave"),
            "mmdebstrap",
            "--mode=root",
            "--variant=apt",
            "--format=null",
            f"--include={','.join([*INCLUDE, *build_packages(arguments.recipe)])}",
            "--dpkgopt=force-unsafe-io",
            '--aptopt=APT::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            *apt_options(),
            *hooks(arguments, sources),
            arguments.release,
            "/dev/null",
            str(listing),
        ]
        with log_file.open("w") as log:
            status = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(directory)},
            ).returncode
    if status:
        raise failure(log_file, status)
    log_file.unlink()
    package = built_package(arguments.output, arguments.package)
    version = subprocess.run(
        ["dpkg-deb", "--field", str(package), "Version"], check=True, capture_output=True, text=True
    ).stdout.strip()
    warnings = (arguments.output / "warnings").read_text().splitlines()
    return {"package": package.name, "version": version, "warnings": warnings}


def built_package(output: Path, name: str) -> Path:
    """Return the one package that a build has left.

    Raises:
        BuildError: there is none, or more than one; to choose among them would be to guess.
    """
    packages = sorted(output.glob("*.deb"))
    if len(packages) != 1 or not packages[0].name.startswith(f"{name}_"):
        found = ", ".join(package.name for package in packages) or "none"
        raise BuildError(f"the build should have left one package of {name} in {output}; there: {found}")
    return packages[0]


def failure(log: Path, status: int) -> BuildError:
    """Return the error for a failed build: what build-package said, else the end of the log."""
    lines = log.read_text(errors="replace").splitlines()
    for line in reversed(lines):
        if found := re.match(r"build-package: error (\d): (.*)", line):
            return BuildError(found[2], int(found[1]))
    return BuildError("\n".join([*lines[-25:], f"The whole log is {log} on this host."]), status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the build and print its result as JSON."""
    parser = argparse.ArgumentParser(description="Build a package in a throwaway chroot.")
    parser.add_argument("--package", required=True, help="its name")
    parser.add_argument("--software", required=True, help="what it is made of, as messages name it")
    parser.add_argument("--release", required=True, help="Debian release, as in trixie")
    parser.add_argument("--output", required=True, type=Path, help="folder for the .deb and the log")
    parser.add_argument(
        "--recipe", required=True, type=Path, help="folder with build-package and what it reads"
    )
    parser.add_argument("--recipe-hash", required=True, help="SHA-256 of the recipe, in hex digits")
    parser.add_argument("--source", choices=("debian", "upstream"), default="debian")
    parser.add_argument("--wanted-version", default="", help="empty: the newest served")
    parser.add_argument("--upstream-sha256", default="", help="of the upstream tarball")
    parser.add_argument(
        "--look", action="store_true", help="build nothing: say whether the wanted version is served"
    )
    parser.add_argument("--settings", type=json.loads, default={}, help="more environment variables, as JSON")
    try:
        arguments = parser.parse_args(argv)
        if arguments.look:
            look(arguments)
        else:
            print(json.dumps(build(arguments)))
    except BuildError as error:
        print(f"build_in_chroot: {error}", file=sys.stderr)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
