"""What is wrong, and how bad it is: in one way of saying it, for the dashboard and for an operator's tools.

A `finding` is one thing that is wrong, and what mends it; `stream` finds what ails a live stream. Both
ask for the `shown_certificate`. Who looks
is above: the control service for its dashboard, `appliance.ops` for its checks.
"""
