"""A new calibration of a probe from the feedback of the service."""
