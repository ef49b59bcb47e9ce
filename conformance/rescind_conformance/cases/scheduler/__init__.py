"""Cases for a scheduler: the suite plays clients and workers."""
