"""Every number that the paper states, as an experiment of a few lines."""
