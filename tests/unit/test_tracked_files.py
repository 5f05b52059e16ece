"""What must never be tracked: secrets, private keys, and where a machine takes its packages from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
# Pieces, so that this file does not find itself.
FORBIDDEN = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE " + "KEY-----",
    "an encrypted vault's password file": r"vault_password_file *= *" + r"/",
    "an index of packages": r"(pypi|pythonhosted|npmjs|npm\.pkg)\." + r"(org|com)",
    "a home directory": r"/(home|Users)/" + r"[a-z]",
    "a token of a forge": r"\b(ghp|glpat|github_pat)[_-]" + r"[A-Za-z0-9]{16}",
}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, check=True, text=True)
    return [TOP / name for name in listed.stdout.split("\0") if name and (TOP / name).is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_is_nowhere(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what].encode())
    found = [str(path.relative_to(TOP)) for path in tracked() if pattern.search(path.read_bytes())]
    assert found == []


def test_lock_files_name_hashes_and_no_address() -> None:
    for path in (TOP / "files/locks").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text
        assert "--index-url" not in text
        pinned = re.findall(r"^[a-z0-9._-]+==\S+(.*?)(?=^[a-z]|\Z)", text, re.MULTILINE | re.DOTALL)
        assert pinned
        assert all("--hash=sha256:" in rest for rest in pinned)
