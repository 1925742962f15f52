"""Radford, Metz, Chintala 2015: a generator of images of 64 pixels and its discriminator."""

from __future__ import annotations

from .. import symbol as sym
from ..symbol import Symbol

_EPS = 1e-5 + 1e-12
_STEP = {"kernel": (4, 4), "stride": (2, 2), "pad": (1, 1), "no_bias": True}


def dcgan_generator(
    ngf: int = 64, nc: int = 3, no_bias: bool = True, fix_gamma: bool = True, eps: float = _EPS
) -> Symbol:
    """Images in -1 ... 1 from `rand`, numbers of shape (batch, n, 1, 1); `ngf` is the width, `nc` the number of colours."""
    x = sym.Deconvolution(sym.Variable("rand"), name="g1", kernel=(4, 4), num_filter=8 * ngf, no_bias=no_bias)
    for i in range(1, 5):
        x = sym.BatchNorm(x, name=f"gbn{i}", fix_gamma=fix_gamma, eps=eps)
        x = sym.Activation(x, name=f"gact{i}", act_type="relu")
        filters = nc if i == 4 else (8 * ngf) >> i
        x = sym.Deconvolution(x, name=f"g{i + 1}", num_filter=filters, **(_STEP | {"no_bias": no_bias}))
    return sym.Activation(x, name="gact5", act_type="tanh")


def dcgan_discriminator(ndf: int = 64, no_bias: bool = True, fix_gamma: bool = True, eps: float = _EPS) -> Symbol:
    """Whether `data` is real (`label` 1) or made (0); the loss layer is called `dloss`."""
    step = _STEP | {"no_bias": no_bias}
    x = sym.Convolution(sym.Variable("data"), name="d1", num_filter=ndf, **step)
    x = sym.LeakyReLU(x, name="dact1", act_type="leaky", slope=0.2)
    for i in range(2, 5):
        x = sym.Convolution(x, name=f"d{i}", num_filter=ndf << (i - 1), **step)
        x = sym.BatchNorm(x, name=f"dbn{i}", fix_gamma=fix_gamma, eps=eps)
        x = sym.LeakyReLU(x, name=f"dact{i}", act_type="leaky", slope=0.2)
    x = sym.Convolution(x, name="d5", kernel=(4, 4), num_filter=1, no_bias=no_bias)
    return sym.LogisticRegressionOutput(sym.Flatten(x), sym.Variable("label"), name="dloss")
