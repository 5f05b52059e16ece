"""What hosts share in Valkey: publish leases and counters. Nothing else here, no media, no secrets."""
