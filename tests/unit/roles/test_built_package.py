"""Which package is taken from the cache, what the throwaway chroot installs from, and what a build says."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from appliance.provision.action_plugins import cached_package

if TYPE_CHECKING:
    from types import ModuleType

ROLES = Path(__file__).parents[3] / "roles"
FILES = ROLES / "built_package/files"
RECIPE = "1a2b3c4d" + "0" * 56
OLD_RECIPE = "ffffffff" + "0" * 56


def package(software: str, recipe: str = RECIPE) -> str:
    return f"appliance-nginx_{software}+rtmp1.2.2-1+r{recipe[:8]}_amd64.deb"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    for name in (
        package("1.26.3-3+deb13u7"),
        package("1.26.3-3+deb13u11"),
        package("1.26.3-3+deb13u9", OLD_RECIPE),
        package("1.28.0-1", OLD_RECIPE),
    ):
        (tmp_path / name).touch()
    (tmp_path / "incoming").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ("", "1.26.3-3+deb13u11+rtmp1.2.2-1+r1a2b3c4d"),  # newest by Debian's rules: u11 is younger than u7
        ("1.26.3", "1.26.3-3+deb13u11+rtmp1.2.2-1+r1a2b3c4d"),
        ("1.26.3-3+deb13u7", "1.26.3-3+deb13u7+rtmp1.2.2-1+r1a2b3c4d"),
        ("1.26.3-3+deb13u9", None),  # only made by another recipe: build it again
        ("1.28.0-1+rtmp1.2.2-1+rffffffff", "1.28.0-1+rtmp1.2.2-1+rffffffff"),  # named whole: taken as it is
        ("1.26", None),
        ("1.29.0-1", None),
    ],
)
def test_choice(cache: Path, wanted: str, taken: str | None) -> None:
    chosen = cached_package.choose(cache, "appliance-nginx", wanted, RECIPE, ["rtmp"])
    assert (chosen[1] if chosen else None) == taken
    assert chosen is None or chosen[0].exists()


@pytest.mark.parametrize("wanted", ["", "7.1.5", "7.1.5-0+deb13u1", "7:7.1.5-0+deb13u1"])
def test_a_version_may_have_debians_epoch(tmp_path: Path, wanted: str) -> None:
    version = f"7.1.5-0+deb13u1+r{RECIPE[:8]}"
    (tmp_path / f"appliance-ffmpeg_{version}_amd64.deb").touch()
    chosen = cached_package.choose(tmp_path, "appliance-ffmpeg", wanted, RECIPE)
    assert chosen is not None
    assert chosen[1] == version


@pytest.mark.parametrize(
    ("package_version", "parts", "software"),
    [
        ("1.26.3-3+deb13u11+rtmp1.2.2-1", ["rtmp"], "1.26.3-3+deb13u11"),
        ("1.26.3+rtmp1.2.2-1+brotli1.0-2", ["brotli", "rtmp"], "1.26.3"),
        ("7.1.5-0+deb13u1", [], "7.1.5-0+deb13u1"),
        ("1.0+dfsg1-2", [], "1.0+dfsg1-2"),
        ("1.0+dfsg1-2", ["rtmp"], "1.0+dfsg1-2"),
    ],
)
def test_only_named_parts_are_no_part_of_the_softwares_version(
    package_version: str, parts: list[str], software: str
) -> None:
    whole = f"{package_version}+r{RECIPE[:8]}"
    assert cached_package.software_version(whole, parts) == software
    assert cached_package.matches(whole, software, RECIPE, parts)


def test_an_empty_or_missing_cache_has_nothing(tmp_path: Path) -> None:
    assert cached_package.choose(tmp_path / "none", "appliance-nginx", "", RECIPE) is None


def test_the_recipe_hash_follows_content_name_and_ingredients(tmp_path: Path) -> None:
    common, recipe = tmp_path / "common", tmp_path / "recipe"
    common.mkdir()
    (common / "build-package").write_text("#!/bin/bash\n")
    (recipe / "patches").mkdir(parents=True)
    (recipe / "configure-arguments").write_text("--with-threads\n")
    seen = {cached_package.recipe_hash([common, recipe], {})}
    seen.add(cached_package.recipe_hash([common, recipe], {"source": "upstream"}))
    (recipe / "patches" / "a.patch").write_text("x")
    seen.add(cached_package.recipe_hash([common, recipe], {}))
    (recipe / "patches" / "a.patch").rename(recipe / "patches" / "b.patch")
    seen.add(cached_package.recipe_hash([common, recipe], {}))
    (recipe / "configure-arguments").write_text("--with-threads\n--with-debug\n")
    seen.add(cached_package.recipe_hash([common, recipe], {}))
    (common / "build-package").write_text("#!/bin/bash -e\n")
    seen.add(cached_package.recipe_hash([common, recipe], {}))
    assert len(seen) == 6
    (recipe / "__pycache__").mkdir()
    (recipe / "__pycache__" / "x.pyc").write_text("x")
    assert cached_package.recipe_hash([common, recipe], {}) in seen


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    """Return the script that runs on the build host, as a module."""
    spec = importlib.util.spec_from_file_location("build_in_chroot", FILES / "build_in_chroot.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_chroot_uses_the_hosts_debian_archives_only(builder: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://commented.example/debian trixie main\n"
        "deb [arch=amd64 signed-by=/etc/apt/a.gpg] http://mirror.example/debian trixie main non-free\n"
        "deb-src http://mirror.example/debian trixie main\n"
    )
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\nURIs: http://mirror.example/sec\nSuites: trixie-security\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        "Types: deb\nEnabled: no\nURIs: http://off.example\nSuites: trixie\nComponents: main\n"
    )
    (tmp_path / "sources.list.d" / "other.list").write_text("deb http://nginx.example/debian trixie nginx\n")
    (tmp_path / "sources.list.d" / "broken.list.save").write_text(
        "deb http://old.example/debian trixie main\n"
    )
    found = builder.debian_sources(tmp_path, "trixie")
    assert [(source.uris, source.suites, source.signed_by) for source in found] == [
        (("http://mirror.example/debian",), ("trixie",), "/etc/apt/a.gpg"),
        (
            ("http://mirror.example/sec",),
            ("trixie-security",),
            "/usr/share/keyrings/debian-archive-keyring.gpg",
        ),
    ]
    assert found[0].stanza() == (
        "Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By: /etc/apt/a.gpg\n"
    )


def test_a_host_without_a_debian_archive_is_named(builder: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://mirror.example/debian bookworm main\n")
    with pytest.raises(builder.BuildError, match="suite 'trixie'"):
        builder.debian_sources(tmp_path, "trixie")


@pytest.mark.parametrize(
    ("log", "code", "message"),
    [
        (
            "I: x\nbuild-package: error 3: version 9 is not served\nE: failed\n",
            3,
            "is not served",
        ),
        (
            "1 out of 2 hunks FAILED\nbuild-package: error 5: x.patch does not fit nginx 1.30.0; set y\n",
            5,
            "does not fit nginx 1.30.0",
        ),
        ("gcc: error\nE: command failed\n", 1, "gcc: error"),
    ],
)
def test_a_failed_build_says_why(
    builder: ModuleType, tmp_path: Path, log: str, code: int, message: str
) -> None:
    (tmp_path / "build.log").write_text(log)
    error = builder.failure(tmp_path / "build.log", 1)
    assert error.code == code
    assert message in str(error)


def test_nothing_that_lay_there_passes_for_what_is_built(
    builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/mmdebstrap")
    monkeypatch.setattr(builder, "debian_sources", lambda *_: [])
    (tmp_path / "appliance-nginx_9.9-1_amd64.deb").touch()
    with pytest.raises(builder.BuildError, match="is not empty"):
        builder.build(argparse.Namespace(release="trixie", output=tmp_path, package="appliance-nginx"))


@pytest.mark.parametrize(
    ("left", "taken"),
    [
        (["appliance-nginx_1.26.3-3+deb13u11_amd64.deb", "warnings"], True),
        (
            ["appliance-nginx_1.26.3-3+deb13u11_amd64.deb", "appliance-nginx_1.26.3-3+deb13u7_amd64.deb"],
            False,
        ),
        (["appliance-ffmpeg_7.1.5-0_amd64.deb"], False),
        (["warnings"], False),
    ],
)
def test_a_build_leaves_one_package(
    builder: ModuleType, tmp_path: Path, left: list[str], taken: bool
) -> None:
    for name in left:
        (tmp_path / name).touch()
    if taken:
        assert builder.built_package(tmp_path, "appliance-nginx").name == left[0]
        return
    with pytest.raises(builder.BuildError, match="one package of appliance-nginx"):
        builder.built_package(tmp_path, "appliance-nginx")


def test_a_build_has_a_folder_that_nobody_can_have_prepared() -> None:
    """What lies in a known folder of /var/tmp is anybody's: patches of it would be compiled in."""
    text = (ROLES / "built_package/tasks/build_on_host.yml").read_text()
    assert "ansible.builtin.tempfile" in text
    known = re.findall(
        r"/(?:var/)?tmp/\S+", "".join(map(Path.read_text, ROLES.glob("built_package/**/*.yml")))
    )
    assert known == []


WAITING = {
    "debians": {"wants": False},
    "first": {"wants": True},
    "second": {"wants": True},
    "other": {"wants": True, "version": "7.0.0"},
}
"""Hosts of one release and architecture, and what they ask for; the inventory's order."""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Host → what it failed with, where the cache is empty and no host may build."""
    folder = tmp_path_factory.mktemp("waiting")
    facts = {"distribution_release": "trixie", "architecture": "x86_64", "package_versions": {}}
    variables = {
        "built_package_name": "appliance-ffmpeg",
        "built_package_software": "ffmpeg",
        "built_package_cache": str(folder / "packages"),
        "built_package_version": "{{ version | default('') }}",
    }
    tasks = [
        {"name": "Facts", "ansible.builtin.set_fact": {"ansible_facts": facts, "cacheable": False}},
        {
            "name": "Take the role",
            "ansible.builtin.include_role": {"name": "built_package"},
            "vars": variables,
            "when": "wants",
        },
    ]
    (folder / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "all", "connection": "local", "gather_facts": False, "tasks": tasks}])
    )
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": WAITING}}))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml", "play.yml"],
        cwd=folder,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROLES.parent / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_ROLES_PATH": str(ROLES),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    start = done.stdout.find("{\n")
    assert start >= 0, done.stdout + done.stderr
    return {
        host: result["msg"]
        for play in json.loads(done.stdout[start:])["plays"]
        for task in play["tasks"]
        for host, result in task["hosts"].items()
        if result.get("failed")
    }


def test_the_first_host_that_waits_for_a_package_sees_to_its_build(refusals: dict[str, str]) -> None:
    """Not one that takes the distribution's, and one for each version that is asked for."""
    assert {host for host, said in refusals.items() if "no trixie-amd64 host to build it on" in said} == {
        "first",
        "other",
    }


def test_a_host_without_a_package_says_so(refusals: dict[str, str]) -> None:
    """It would go on to install nothing, and fail with FFmpeg lacking everything."""
    assert "debians" not in refusals
    assert "has no package appliance-ffmpeg that fits ffmpeg_version ''" in " ".join(
        refusals["second"].split()
    )
    assert "ansible-playbook playbooks/site.yml --tags=ffmpeg" in refusals["second"]


@pytest.mark.parametrize(
    ("wanted", "served"),
    [
        ("7.1.5-0+deb13u1", True),
        ("7:7.1.5-0+deb13u1", True),
        ("7.1.5", True),
        ("7.1.3-0+deb13u1", True),
        ("7.1", False),
        ("9", False),
        ("7.1.5-0", False),
    ],
)
def test_a_version_is_one_of_those_that_are_served(builder: ModuleType, wanted: str, *, served: bool) -> None:
    assert builder.is_served(wanted, ["7:7.1.5-0+deb13u1", "7:7.1.3-0+deb13u1"]) == served


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder of programs in place of apt's, in which the index lists two versions of FFmpeg."""
    index = "Package: ffmpeg\nVersion: 7:7.1.9-1\n\nPackage: ffmpeg\nVersion: 7:7.1.10-1\n"
    for name, text in (("apt-get", "exit 0"), ("apt-cache", f"printf '%s' '{index}'")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def looked(builder: ModuleType, monkeypatch: pytest.MonkeyPatch, version: str, source: str = "debian") -> int:
    source_list = [builder.AptSource(("http://mirror.invalid/debian",), ("trixie",), ("main",))]
    monkeypatch.setattr(builder, "debian_sources", lambda *_: source_list)
    words = ["--package=appliance-ffmpeg", "--software=ffmpeg", "--release=trixie", "--output=/nonexistent"]
    words += [f"--recipe={ROLES / 'ffmpeg/files/package'}", "--recipe-hash=0", f"--source={source}"]
    code: int = builder.main([*words, f"--wanted-version={version}", "--look"])
    return code


@pytest.mark.usefixtures("apt")
def test_a_version_that_is_not_served_is_refused_before_anything_is_built(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert looked(builder, monkeypatch, "7.1.9") == looked(builder, monkeypatch, "") == 0
    assert looked(builder, monkeypatch, "1", source="upstream") == 0
    assert capsys.readouterr() == ("", "")
    assert looked(builder, monkeypatch, "1") == 3
    said = capsys.readouterr().err
    assert "ffmpeg_version '1' is not served; the index lists: 7:7.1.10-1, 7:7.1.9-1." in said
    assert "ansible-playbook playbooks/site.yml --tags=ffmpeg -e ffmpeg_version=7:7.1.10-1" in said


def test_a_mirror_that_does_not_answer_leaves_it_to_the_build(
    apt: Path, builder: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    (apt / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    assert looked(builder, monkeypatch, "1") == 0


def test_a_version_is_looked_for_before_anything_is_installed() -> None:
    [build, *_] = yaml.safe_load((ROLES / "built_package/tasks/build_on_host.yml").read_text())
    names = [task["name"] for task in build["block"]]
    assert names.index("Refuse a version that is not served") < names.index("Install mmdebstrap")


def functions(*names: str) -> str:
    """Return functions of build-package, and what they say things with."""
    wanted = [f"/^{name}()/,/^}}/p" for name in names]
    script = ["/^say()/p", "/^fail()/p", "/^lines()/p", "/^record()/,/^}/p", *wanted]
    command = ["sed", "-n", ";".join(script), str(FILES / "recipe/build-package")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(shutil.which("patch") is None, reason="patch is not installed here")
def test_a_patch_that_does_not_fit_says_so(builder: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "nginx.c").write_text("another version\n")
    (tmp_path / "patches").mkdir()
    change = "--- a/nginx.c\n+++ b/nginx.c\n@@ -1 +1 @@\n-this version\n+mended\n"
    (tmp_path / "patches/wakes.patch").write_text(change)
    script = "set -euo pipefail\nrecipe=$1 SOFTWARE=nginx version=1.30.0\ncd $1\n"
    script += f"{functions('apply_patches')}\napply_patches\n"
    done = subprocess.run(
        ["bash", "-c", script, "patch", str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 5
    (tmp_path / "build.log").write_text(done.stdout + done.stderr)
    error = builder.failure(tmp_path / "build.log", 1)
    assert error.code == 5
    assert str(error).startswith("wakes.patch does not fit nginx 1.30.0; set nginx_version")


RECIPES = sorted(path.parent for path in ROLES.glob("*/files/package/recipe.sh"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parts[-3])
def test_a_recipe_defines_what_a_build_calls(builder: ModuleType, recipe: Path) -> None:
    script = f". {recipe}/recipe.sh\ndeclare -F upstream_version compile lay_out control_fields\n"
    script += 'test -n "$source_package" && test "${#programs[@]}" -gt 0\nversion=1.0\ncontrol_fields\n'
    done = subprocess.run(["bash", "-euc", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    fields = [line for line in done.stdout.splitlines() if not line.startswith(" ")][4:]
    assert all(re.match(r"[A-Z][a-z]+: ", line) for line in fields)
    assert fields[-1].startswith("Description: ")
    assert {"gcc", "make", "libc6-dev"} < set(builder.build_packages(recipe))
    assert not [line for line in builder.build_packages(recipe) if re.search(r"[^a-z0-9.+-]", line)]


def test_recipes_are_of_roles_that_say_so() -> None:
    assert [path.parts[-3] for path in RECIPES] == ["ffmpeg", "nginx"]
