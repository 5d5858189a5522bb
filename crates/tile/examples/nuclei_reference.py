"""HoVer-Net post-processing with SciPy, scikit-image and OpenCV: the median time in seconds.

Arguments: the folder with the maps (raw float32), their side, how often to repeat.
Writes `instances` (raw uint32) into the folder.
"""
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage
from skimage.measure import regionprops
from skimage.segmentation import watershed

cv2.setNumThreads(1)
folder, side, repeats = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])


def read(name):
    return np.fromfile(folder / name, dtype="<f4").reshape(side, side)


def without_small(labels, smallest):
    keep = np.bincount(labels.ravel()) >= smallest
    keep[0] = False
    return np.where(keep[labels], labels, 0)


def to_unit(values):
    return cv2.normalize(values, None, 0, 1, cv2.NORM_MINMAX, cv2.CV_32F)


def edges(values, dx, dy):
    return 1 - to_unit(cv2.Sobel(to_unit(values), cv2.CV_64F, dx, dy, ksize=21))


def segment(foreground, horizontal, vertical):
    inside = (without_small(ndimage.label(foreground >= 0.5)[0], 10) > 0).astype(np.int32)
    edge = np.maximum(edges(horizontal, 1, 0), edges(vertical, 0, 1)) - (1 - inside)
    edge[edge < 0] = 0
    landscape = -cv2.GaussianBlur((1.0 - edge) * inside, (3, 3), 0)
    middles = np.maximum(inside - (edge >= 0.4), 0)
    middles = ndimage.binary_fill_holes(middles).astype(np.uint8)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    middles = cv2.morphologyEx(middles, cv2.MORPH_OPEN, ellipse)
    markers = without_small(ndimage.label(middles)[0], 10)
    return watershed(landscape, markers=markers, mask=inside)


def describe(instances, types):
    nuclei = []
    for region in regionprops(instances):
        mask = region.image
        contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        counts = np.bincount(types[region.slice][mask])
        order = np.argsort(-counts, kind="stable")
        kind = order[1] if order[0] == 0 and len(order) > 1 and counts[order[1]] else order[0]
        nuclei.append((region.bbox, region.centroid, contours[0], kind, counts[kind] / region.area))
    return nuclei


maps = [read(name) for name in ("foreground", "horizontal", "vertical")]
types = read("types").astype(np.int64)
seconds = []
for _ in range(repeats):
    started = time.perf_counter()
    instances = segment(*maps)
    describe(instances, types)
    seconds.append(time.perf_counter() - started)
instances.astype("<u4").tofile(folder / "instances")
print(sorted(seconds)[repeats // 2])
