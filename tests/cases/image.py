"""Operators on images: see tests/cases/__init__.py. Random factors are drawn from ranges with one number in them."""

import colorsys

import numpy as np

from . import Case, real, whole

IMAGE, BATCH = real(4, 3, 3, low=20, high=200), real(2, 3, 5, 3, low=20, high=200)
BYTES = whole(4, 5, 3, high=256)
GRAY = np.array([0.299, 0.587, 0.114])
LIGHTING = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
DEVIATIONS = np.array([55.46, 4.794, 1.148])
KINDS = ("float32", "float64")


def to_tensor(x):
    return np.moveaxis(x / 255, -1, -3)


def normalize(mean, std):
    column = lambda v: np.reshape(v, (-1, 1, 1))  # noqa: E731
    return lambda x: (x - column(mean)) / column(std)


def crop(x, y, width, height):
    return lambda data: data[..., y : y + height, x : x + width, :]


def linear(data, axis, size):
    n = data.shape[axis]
    place = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    left = place.astype(int)
    part = (place - left).reshape((size,) + (1,) * (data.ndim - 1 - axis))
    return data.take(left, axis) * (1 - part) + data.take(np.minimum(left + 1, n - 1), axis) * part


def nearest(data, axis, size):
    return data.take((np.arange(size) * (data.shape[axis] / size)).astype(int), axis)


def resize(width, height, by=linear):
    return lambda x: by(by(x, x.ndim - 3, height), x.ndim - 2, width)


def rounded(twin):
    return lambda x: np.floor(twin(x) + 0.5)


def whole_bytes(twin):
    return lambda x: np.trunc(np.clip(twin(x), 0, 255))


def contrast(x, a):
    return a * x + (1 - a) * (x @ GRAY).mean()


def saturation(x, a):
    return a * x + (1 - a) * (x @ GRAY)[..., None]


def hue(x, a):
    out = np.empty_like(x, dtype=float)
    for i in np.ndindex(x.shape[:-1]):
        h, l, s = colorsys.rgb_to_hls(*x[i] / 255)
        out[i] = np.array(colorsys.hls_to_rgb((h + a) % 1, l, s)) * 255
    return out


def lighting(alpha):
    return lambda x: x + LIGHTING @ (DEVIATIONS * alpha)


FACTORS = {
    "brightness": lambda x, a: a * x,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
}
RANDOM = {"half": False, "ulps": 64.0, "length": 48}


def cases():
    yield Case("_image_to_tensor", [IMAGE], {}, to_tensor)
    yield Case("_image_to_tensor", [BATCH], {}, to_tensor, half=False)
    yield Case("_image_to_tensor", [BYTES], {}, to_tensor, dtypes=("uint8", "int32"), grads=(), half=False)
    first = real(3, 4, 5), {"mean": (0.1, 0.2, 0.3), "std": (2, 3, 4)}, ((0.1, 0.2, 0.3), (2, 3, 4))
    second = real(2, 3, 2, 2), {"mean": 0.5, "std": 2}, (0.5, 2)
    third = real(1, 2, 2), {}, (0, 1)
    for data, params, numbers in (first, second, third):
        yield Case("_image_normalize", [data], params, normalize(*numbers))
    yield Case("_image_crop", [IMAGE], {"x": 1, "y": 2, "width": 2, "height": 1}, crop(1, 2, 2, 1))
    yield Case("_image_crop", [BATCH], {"x": 0, "y": 1, "width": 3, "height": 2}, crop(0, 1, 3, 2))
    for data, params, to in (
        (IMAGE, {"size": (5, 6)}, (5, 6)),
        (IMAGE, {"size": 2}, (2, 2)),
        (BATCH, {"size": 7}, (7, 7)),
        (BATCH, {"size": 6, "keep_ratio": True}, (10, 6)),
        (IMAGE, {"size": 6, "keep_ratio": True}, (6, 8)),
    ):
        yield Case("_image_resize", [data], params, resize(*to), ulps=32.0)
        yield Case("_image_resize", [data], {**params, "interp": 0}, resize(*to, nearest))
    plain = {"grads": (), "half": False, "dtypes": ("uint8",)}
    yield Case("_image_resize", [BYTES], {"size": (3, 7)}, rounded(resize(3, 7)), **plain)
    for name, axis in (("left_right", -2), ("top_bottom", -3)):
        for data in (IMAGE, BATCH):
            yield Case(f"_image_flip_{name}", [data], {}, lambda x, a=axis: np.flip(x, a))
        even = np.full((3, 4, 3), 7.0)
        yield Case(f"_image_random_flip_{name}", [even], {}, lambda x: x, grads=())
    for name, twin in FACTORS.items():
        for data, a in ((IMAGE, 0.6), (BATCH, 1.3), (BYTES, 0.3)):
            if data is BATCH and name == "contrast":
                a = 1.0
            params = {"min_factor": a, "max_factor": a}
            change = lambda x, a=a, twin=twin: twin(x, a)  # noqa: E731
            if data is not BYTES:
                yield Case(f"_image_random_{name}", [data], params, change, grads=(), **RANDOM)
            elif name == "brightness":
                yield Case(f"_image_random_{name}", [data], params, whole_bytes(change), **plain)
        yield Case(
            f"_image_random_{name}", [real(3, 2, 1)], {"min_factor": 0.5, "max_factor": 1.5}, half=False, grads=()
        )
    zeros = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    yield Case("_image_random_color_jitter", [IMAGE], zeros, lambda x: x)
    full = {"brightness": 0.1, "contrast": 0.2, "saturation": 0.3, "hue": 0.1}
    yield Case("_image_random_color_jitter", [IMAGE], full, half=False, grads=())
    for alpha in ((0.1, 0.2, -0.3), (1, 2, -3)):
        yield Case("_image_adjust_lighting", [IMAGE], {"alpha": alpha}, lighting(alpha))
        yield Case("_image_adjust_lighting", [BYTES], {"alpha": alpha}, whole_bytes(lighting(alpha)), **plain)
    yield Case("_image_random_lighting", [IMAGE], {"alpha_std": 0.0}, lambda x: x)
    yield Case("_image_random_lighting", [BATCH], {}, half=False, grads=())


CASES = list(cases())
