"""A release is named by what it is made of: the same sources are the same release, other ones another."""

from __future__ import annotations

import hashlib
import tarfile
from typing import TYPE_CHECKING

import pytest

from appliance.provision import wheelhouse
from appliance.provision.wheelhouse import Wheelhouse, WheelhouseError

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "appliance"
version = "1"
[tool.setuptools.packages.find]
include = ["appliance*"]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for name in ("control", "lab", "__pycache__"):
        (folder / "appliance" / name).mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "lock.txt").write_text("")
    (folder / "appliance" / "__init__.py").write_text("")
    (folder / "appliance" / "control" / "__init__.py").write_text("VALUE = 1\n")
    (folder / "appliance" / "lab" / "__init__.py").write_text("")
    return folder


def house(checkout: Path, *, python: str = "3.13", architecture: str = "x86_64") -> Wheelhouse:
    return Wheelhouse(
        checkout=checkout,
        cache=checkout.parent / "cache",
        lock=checkout / "lock.txt",
        python=python,
        architecture=architecture,
    )


def test_the_name_follows_what_a_host_gets(checkout: Path) -> None:
    first = house(checkout).release
    (checkout / "appliance" / "__pycache__" / "x.pyc").write_bytes(b"x")
    (checkout / "appliance" / "lab" / "__init__.py").write_text("only the controller has this")
    assert house(checkout).release == first
    assert house(checkout, python="3.14").release != first
    assert house(checkout, architecture="aarch64").release != first
    (checkout / "appliance" / "control" / "__init__.py").write_text("VALUE = 2\n")
    second = house(checkout).release
    assert second != first
    (checkout / "lock.txt").write_text("# other\n")
    assert house(checkout).release not in {first, second}


def test_the_archive_holds_our_wheel_and_the_lock(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = checkout.parent / "wheels"
    wheels.mkdir()
    (wheels / "third-1-py3-none-any.whl").write_bytes(b"wheel")
    monkeypatch.setattr(Wheelhouse, "_third_party", lambda *_: wheels)
    made = house(checkout)
    said: list[str] = []
    archive = made.build(said.append)
    with tarfile.open(archive) as tar:
        assert sorted(tar.getnames()) == [
            "requirements.txt",
            "wheels/appliance-1-py3-none-any.whl",
            "wheels/third-1-py3-none-any.whl",
        ]
        own = tar.extractfile("wheels/appliance-1-py3-none-any.whl")
        requirements = tar.extractfile("requirements.txt")
        assert own is not None and requirements is not None  # noqa: PT018 - for the type checker
        digest = hashlib.sha256(own.read()).hexdigest()
        lines = requirements.read().decode().splitlines()
    assert lines[-1] == f"appliance==1 --hash=sha256:{digest}"
    assert lines[:-1] == (checkout / "lock.txt").read_text().splitlines()
    assert len(said) == 1
    # The second time it lies in the cache, and nothing was left in the checkout.
    assert made.build(said.append) == archive
    assert len(said) == 1
    assert not (checkout / "build").exists()


def test_a_download_that_fails_says_so_and_leaves_nothing(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheelhouse, "_pip", lambda *_: ["sh", "-c", "echo no such hash >&2; exit 3"])
    with pytest.raises(WheelhouseError, match=r"download of the wheels failed \(exit 3\)(.|\n)*no such hash"):
        house(checkout).build(lambda _: None)
    assert not list((checkout.parent / "cache").rglob("*.tar"))
    assert not list((checkout.parent / "cache").rglob("*.whl"))
