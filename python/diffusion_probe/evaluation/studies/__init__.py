"""Studies of a probe from the scores beside it, with NumPy alone."""
