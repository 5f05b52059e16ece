"""Names that the kernel sees are unique to a lab and fit where they go."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import OperatorError
from appliance.lab.checkout import LabPaths, check_name, find_checkout


def test_checkouts_and_labs_never_share_a_name(tmp_path: Path) -> None:
    labs = [LabPaths(tmp_path / folder, lab) for folder in ("a", "b") for lab in ("demo", "molecule")]
    for attribute in ("ident", "bridge", "table", "control"):
        assert len({getattr(paths, attribute) for paths in labs}) == 4
    assert LabPaths(tmp_path / "a", "demo").ident == labs[0].ident


def test_interface_names_fit_the_kernels_fifteen_characters(tmp_path: Path) -> None:
    paths = LabPaths(tmp_path, "demo")
    assert len(paths.bridge) <= 15
    for index in (1, 99):
        assert len(f"vb-{paths.machine(index)}") <= 15
        assert len(f"vt-{paths.machine(index)}") <= 15


def test_a_control_socket_fits_a_unix_address(tmp_path: Path) -> None:
    # ssh(1): %C is 40 hexadecimal digits, and a random suffix of 17 is appended while it is made
    assert len(str(LabPaths(tmp_path, "demo").control)) + 1 + 40 + 17 <= 107


@pytest.mark.parametrize("name", ["", "Origin", "a_b", "-a", "1a", "a" * 32, "a/b", "ö"])
def test_a_name_that_no_host_may_have_is_refused(name: str) -> None:
    with pytest.raises(OperatorError, match=r"host name .* is not allowed"):
        check_name("host", name)


def test_the_checkout_is_found_from_a_folder_inside_it() -> None:
    assert find_checkout(Path(__file__)) == find_checkout()


def test_outside_of_a_checkout_the_message_says_so(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="belongs to a checkout"):
        find_checkout(tmp_path)
