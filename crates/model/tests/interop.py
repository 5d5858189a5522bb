"""Loads an exported encoder into torchvision and timm and compares outputs.

Usage: interop.py ENCODER.safetensors EXAMPLE.safetensors
The example holds `images` [N, 3, H, W] and the exporter's `representations` [N, 2048].
"""

import sys

import safetensors.torch
import timm
import torch
import torchvision


def main(encoder_path: str, example_path: str) -> None:
    weights = safetensors.torch.load_file(encoder_path)
    example = safetensors.torch.load_file(example_path)
    in_torchvision = torchvision.models.resnet50()
    in_torchvision.fc = torch.nn.Identity()
    in_timm = timm.create_model("resnet50", num_classes=0)
    for name, network in [("torchvision", in_torchvision), ("timm", in_timm)]:
        network.load_state_dict(weights, strict=True)
        network.eval()
        with torch.no_grad():
            representations = network(example["images"])
        expected = example["representations"]
        error = (representations - expected).abs().max() / expected.abs().max()
        print(f"{name}: largest difference {error:.1e} of the largest value")
        if not error < 1e-5:
            sys.exit(f"{name} computes something else")


main(*sys.argv[1:])
