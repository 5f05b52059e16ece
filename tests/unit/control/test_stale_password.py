"""When a service ends for a password that Valkey takes no more."""

from __future__ import annotations

import pytest
from valkey.exceptions import AuthenticationError
from valkey.exceptions import ConnectionError as ValkeyConnectionError

from appliance.control.stale_password import StalePassword
from appliance.state.valkey import StateUnavailableError, translated


def failure(cause: Exception) -> StateUnavailableError:
    with pytest.raises(StateUnavailableError) as caught, translated():
        raise cause
    return caught.value


REFUSED, AWAY = failure(AuthenticationError("WRONGPASS")), failure(ValkeyConnectionError("away"))


@pytest.mark.parametrize(
    ("heard", "ends"),
    [
        ([(0, None), (1, REFUSED), (5, REFUSED)], []),
        ([(0, None), (1, REFUSED), (6, REFUSED), (7, REFUSED), (20, REFUSED)], [6]),  # once
        ([(1, REFUSED), (60, REFUSED)], []),  # it has what is on disk
        ([(0, None), (1, AWAY), (60, AWAY)], []),
        ([(0, None), (1, REFUSED), (4, AWAY), (7, REFUSED), (12, REFUSED)], [12]),
        ([(0, None), (1, REFUSED), (4, None), (7, REFUSED), (11, REFUSED)], []),
    ],
)
def test_a_password_that_was_good_and_is_refused_for_a_while(
    heard: list[tuple[float, StateUnavailableError | None]], ends: list[float]
) -> None:
    ended: list[float] = []
    times = [0.0]
    password = StalePassword(end=lambda: ended.append(times[-1]), clock=lambda: times[-1])
    for seconds, error in heard:
        times.append(seconds)
        if error is None:
            password.answered()
        else:
            password.failed(error)
    assert ended == ends
