"""Training of a probe on a collected data set, and the loop that every training here runs."""
