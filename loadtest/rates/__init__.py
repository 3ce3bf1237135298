"""Load at rates that are asked for: schedules, recorded bodies, the search for a capacity, the statistics of a soak."""
