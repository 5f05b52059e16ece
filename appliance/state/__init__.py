"""What hosts share in Valkey: publish leases, counters, viewers' sessions. No media, no secrets."""
