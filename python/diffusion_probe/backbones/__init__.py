"""The study `backbones`: how far early attention foretells quality on several backbones, from the folders of their probes."""
