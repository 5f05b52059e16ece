"""The ``appliance`` command: one module for each area, assembled by :mod:`appliance.cli.main`."""
