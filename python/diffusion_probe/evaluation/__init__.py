"""Calibration and evaluation of an exported probe on prompts that it was not trained on."""
