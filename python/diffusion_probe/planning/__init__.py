"""Plans: how many samples of a group to start, at which decision points to ask, and how many to keep. Needs NumPy alone."""
