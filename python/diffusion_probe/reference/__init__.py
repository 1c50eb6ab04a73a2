"""The reference world: a small text-to-image system on which probes are trained, tested and shown.

Captioned scenes of emoji pictograms, a rectified-flow backbone that draws them, and a reward that scores the images.
"""
