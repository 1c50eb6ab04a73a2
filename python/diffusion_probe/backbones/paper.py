"""Published figures of the large models, from Diffusion Probe (CVPR 2026, arXiv 2602.23783): ImageReward, prompts of COCO."""

NAMES = {"sdxl": "SDXL", "flux": "FLUX", "qwen": "Qwen-Image"}
FIGURES = ("srcc", "ktc", "pcc", "auc20")  # the paper does not say which share of the images counts as bad in its AUC
# By backbone and step of 25: the values of `FIGURES`.
PUBLISHED = {
    "sdxl": {
        1: (0.49, 0.35, 0.48, 0.53),
        5: (0.73, 0.57, 0.72, 0.86),
        10: (0.76, 0.61, 0.75, 0.89),
        15: (0.75, 0.60, 0.74, 0.89),
    },
    "flux": {
        1: (0.52, 0.38, 0.50, 0.62),
        5: (0.76, 0.60, 0.75, 0.88),
        10: (0.79, 0.64, 0.78, 0.91),
        15: (0.78, 0.63, 0.77, 0.91),
    },
    "qwen": {
        1: (0.45, 0.32, 0.44, 0.67),
        5: (0.69, 0.53, 0.68, 0.84),
        10: (0.72, 0.56, 0.71, 0.87),
        15: (0.71, 0.55, 0.70, 0.86),
    },
}
