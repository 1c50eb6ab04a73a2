"""`python -m diffusion_probe` is `diffusion-probe`."""

import sys

from .cli import main

sys.exit(main())
