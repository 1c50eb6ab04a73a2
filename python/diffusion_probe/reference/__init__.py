"""The reference world: a small, real text-to-image system to build, test and show a probe on.

Scenes of emoji pictograms with captions, a rectified-flow backbone that draws them, and a reward that judges them.
"""
