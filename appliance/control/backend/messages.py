"""The events of players, for `appliance.control.play`; they stand in `appliance.state.event_kinds`."""

from appliance.state.event_kinds import play_ended, play_started

__all__ = ["play_ended", "play_started"]
