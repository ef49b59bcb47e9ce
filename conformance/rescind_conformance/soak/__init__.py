"""Full load for as long as one says, and whether the scheduler's memory stays flat under it."""
