"""Faults over real processes: clients, schedulers and workers are killed, stopped and cut off."""
