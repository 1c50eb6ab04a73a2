"""Flow-GRPO (Liu et al., arXiv 2505.05470) on the reference backbone, on whole groups or on a part that a probe chooses."""
