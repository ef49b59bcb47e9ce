"""Cases for a client: the suite plays the scheduler."""
