"""What hosts share in Valkey: publish leases, counters, events and the backend's last verdicts.

Nothing else here, no media, no secrets.
"""
