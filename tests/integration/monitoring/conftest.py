"""The control service's whole surroundings, for tests that look at it as a Prometheus does."""

from tests.integration.control.conftest import backend, settings, site, valkey

__all__ = ["backend", "settings", "site", "valkey"]
