"""Cases for a worker: the suite plays the scheduler."""
