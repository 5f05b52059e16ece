"""Operators' passwords: which are taken, and what is kept of them."""

from __future__ import annotations

import pytest

from appliance.secrets import passwords
from appliance.secrets.passwords import (
    NOBODYS,
    PasswordDigest,
    WeakPasswordError,
    check_password,
    draw_password,
)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest takes 0.4 s, which a test need not wait for."""
    monkeypatch.setattr(passwords, "_COST", 16)


def test_what_is_kept_knows_the_password_and_does_not_show_it() -> None:
    kept = PasswordDigest.of("grüne-wiese-9")
    assert kept.fits("gru\N{COMBINING DIAERESIS}ne-wiese-9")  # another keyboard
    assert not kept.fits("grune-wiese-9")
    assert "wiese" not in repr(kept)
    assert kept.digest not in repr(kept)
    assert PasswordDigest.of("grüne-wiese-9").digest != kept.digest


def test_a_name_that_nobody_has_takes_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    kept = PasswordDigest.of("grüne-wiese-9")
    assert (NOBODYS.cost, NOBODYS.block, NOBODYS.parallel) == (kept.cost, kept.block, kept.parallel)
    assert 128 * kept.cost * kept.block == 32 * 1024 * 1024


@pytest.mark.parametrize("password", ["short", "x" * 201, "aaaaaaaaaaaaaaaa", "anna12345678"])
def test_weak_ones_are_refused_without_being_repeated(password: str) -> None:
    with pytest.raises(WeakPasswordError) as refused:
        check_password(password, name="anna")
    assert password not in str(refused.value)


def test_drawn_ones_are_taken() -> None:
    check_password(draw_password(), name="anna")
    check_password("correct horse battery staple", name="anna")
