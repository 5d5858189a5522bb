"""Paints the tiles of a folder with a U-Net in PyTorch, Pillow before and after: the median time in seconds.

Arguments: the folder with NNNNN.png and weights.safetensors, the batch size, the depth of the U-Net, how often to
repeat. Writes painted-NNNNN.png into the folder.
"""

import io
import json
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image

folder, batch, depth, repeats = pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:])
torch.set_num_threads(2)


def read_weights(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            values = np.frombuffer(data[start:end], "<f4").reshape(entry["shape"])
            tensors[name] = torch.from_numpy(values.copy())
    return tensors


weights = read_weights(folder / "weights.safetensors")


def norm(values, name):
    part = lambda which: weights[f"{name}.{which}"]
    return functional.batch_norm(values, part("running_mean"), part("running_var"), part("weight"), part("bias"))


def level(values, number, prefix):
    inner = functional.conv2d(functional.leaky_relu(values, 0.2), weights[f"{prefix}.1.weight"], stride=2, padding=1)
    if number + 1 < depth:
        inner = level(norm(inner, f"{prefix}.2"), number + 1, f"{prefix}.3.model")
        up, after = f"{prefix}.5.weight", f"{prefix}.6"
    else:
        up, after = f"{prefix}.3.weight", f"{prefix}.4"
    inner = functional.conv_transpose2d(inner.relu(), weights[up], stride=2, padding=1)
    return torch.cat([values, norm(inner, after)], 1)


def paint(images):
    root = "model.model"
    values = functional.conv2d(images, weights[f"{root}.0.weight"], stride=2, padding=1)
    values = level(values, 1, f"{root}.1.model").relu()
    bias = weights[f"{root}.3.bias"]
    return functional.conv_transpose2d(values, weights[f"{root}.3.weight"], bias, stride=2, padding=1).tanh()


def run(files):
    encoded = []
    for first in range(0, len(files), batch):
        tiles = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in files[first : first + batch]]
        images = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2).float() / 127.5 - 1
        painted = ((paint(images) + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        for tile in painted:
            out = io.BytesIO()
            Image.fromarray(tile).save(out, "png")
            encoded.append(out.getvalue())
    return encoded


files = [path.read_bytes() for path in sorted(folder.glob("[0-9]*.png"))]
seconds = []
with torch.inference_mode():
    for _ in range(repeats + 1):
        started = time.perf_counter()
        painted = run(files)
        seconds.append(time.perf_counter() - started)
for number, data in enumerate(painted):
    (folder / f"painted-{number:05}.png").write_bytes(data)
print(sorted(seconds[1:])[repeats // 2])
