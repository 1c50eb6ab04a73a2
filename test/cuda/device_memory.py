"""Prints the device's free and total memory, MiB. With a number N, holds all but N MiB of it until its input ends."""

import ctypes
import sys

MIB = 1 << 20
runtime = ctypes.CDLL("libcudart.so.13")


def free_and_total() -> tuple[int, int]:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if error := runtime.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)):
        sys.exit(f"CUDA error {error}")
    return free.value, total.value


free, total = free_and_total()
if len(sys.argv) > 1:
    block = ctypes.c_void_p()
    if error := runtime.cudaMalloc(ctypes.byref(block), ctypes.c_size_t(free - int(sys.argv[1]) * MIB)):
        sys.exit(f"CUDA error {error}")
    free, total = free_and_total()
print(free // MIB, total // MIB, flush=True)
if len(sys.argv) > 1:
    sys.stdin.read()
