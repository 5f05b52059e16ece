"""Prints the runbook: `python -m appliance.ops.runbook`, which is `make runbook`."""

from appliance.ops.runbook.page import page

print(page(), end="")
