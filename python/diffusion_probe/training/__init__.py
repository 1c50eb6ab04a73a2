"""Training of a probe on a collected data set, its export, and the training loop that the reference world shares."""
