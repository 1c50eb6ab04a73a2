"""One group of candidates on several ranks: each draws its share, rank 0 asks once for all of them.

torchrun --nproc-per-node 2 examples/two_ranks.py

Start the service first (`npm start`). The ranks talk through gloo, so no GPU is needed.
"""

from __future__ import annotations

import argparse

import torch
import torch.distributed as dist
from diffusion_probe.client import ProbeClient
from diffusion_probe.guard import RankedGroup
from own_loop import generate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--service", default="http://127.0.0.1:8080", help="its address; DIFFUSION_PROBE_API_KEY has its key")
    parser.add_argument(
        "--caption", default="a hat left of a cactus on a green background", help="in words of the reference world"
    )
    parser.add_argument("--size", type=int, default=8, help="candidates of all ranks together")
    parser.add_argument("--keep", type=int, default=2, help="how many of them are finished")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    seeds = range(options.size)[rank::ranks]
    with ProbeClient(options.service) as client:
        policy = {"name": "top_k", "k": options.keep, "explore": {"rate": 0}}
        group = RankedGroup(client, len(seeds), policy=policy)
        images = generate(group, options.caption, seeds)
    print(f"rank {rank} of {ranks} finished the candidates {sorted(images)} of {list(seeds)}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
