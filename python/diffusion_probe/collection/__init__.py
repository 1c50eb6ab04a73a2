"""Training data from a pipeline of diffusers: the command `collect --pipeline`."""
