"""A stream's name as somebody typed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.errors import EX_USAGE, OperatorError
from appliance.names import InvalidStreamNameError, parse_stream_name

if TYPE_CHECKING:
    from appliance.names import StreamName


def checked_stream_name(text: str, *, exit_code: int = EX_USAGE) -> StreamName:
    """Returns `text` as a stream's name.

    Raises OperatorError with `exit_code` (sysexits.h), which names the text and what is allowed.
    """
    try:
        return parse_stream_name(text)
    except InvalidStreamNameError as error:
        raise OperatorError(str(error), exit_code=exit_code) from None
