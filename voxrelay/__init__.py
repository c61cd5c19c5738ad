"""Voxrelay: what its services share — the event contract, the bus, the runner and the stores."""
