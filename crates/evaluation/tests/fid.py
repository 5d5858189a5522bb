"""Writes weights of FID's Inception, a few images, and pytorch-fid's features of them.

Usage: fid.py FOLDER
The weights are random, with running statistics from random images: the published ones cannot be had offline.
"""

import pathlib
import sys

import pytorch_fid.inception
import safetensors.torch
import torch


def network() -> torch.nn.Module:
    """pytorch-fid's network with random weights instead of those that it downloads."""
    inner = {}

    def no_download(*_arguments, **_options):
        return inner["state"]

    pytorch_fid.inception.load_state_dict_from_url = no_download
    torch.manual_seed(5)
    plain = pytorch_fid.inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    inner["state"] = plain.state_dict()
    return pytorch_fid.inception.fid_inception_v3()


def main(folder: str) -> None:
    folder = pathlib.Path(folder)
    inner = network()
    pytorch_fid.inception.fid_inception_v3 = lambda: inner
    features = pytorch_fid.inception.InceptionV3([3])
    for module in features.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        features.train()(torch.rand(4, 3, 128, 128))
        images = torch.randint(0, 256, (3, 3, 96, 80), dtype=torch.uint8)
        # Not noise alone: a smooth slope, and a half that is flat.
        images[1] = (torch.arange(80) * 3).to(torch.uint8).expand(3, 96, 80)
        images[2, :, 48:] = 200
        expected = features.eval()(images.float() / 255)[0].flatten(1)
    save = safetensors.torch.save_file
    torch.save(inner.state_dict(), folder / "inception.pth")
    save({"images": images, "features": expected.contiguous()}, folder / "example.safetensors")


main(*sys.argv[1:])
