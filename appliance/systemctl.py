"""Asking systemd's own program, where its answer is for an operator (systemctl(1))."""

from __future__ import annotations

import subprocess


class SystemctlError(Exception):
    """It did not do what it was asked for; the message says why, in a line of its own words if it has any."""


def systemctl(*arguments: str, seconds: float) -> str:
    """What `systemctl` prints, for which it has `seconds`. Raises SystemctlError."""
    command = ["systemctl", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise SystemctlError(f"systemctl did not answer within {seconds:g} s") from None
    except FileNotFoundError:
        raise SystemctlError("there is no systemctl on this machine") from None
    except OSError as error:
        raise SystemctlError(f"systemctl: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise SystemctlError(said[0] if said else f"systemctl ended with {done.returncode}")
    return done.stdout
