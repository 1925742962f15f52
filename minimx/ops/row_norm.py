"""Normalisation of each example for itself: layer, instance, group and L2 normalisation."""

from __future__ import annotations

from ..base import ITEM_SIZES, ShapeError
from ..graph import apply, apply_all
from ..op import Op, normalize_axis, product, require, unify
from ..params import Bool, Enum, Float, Int
from .elemwise import F


class _RowNorm(Op, abstract=True):
    """Base of layers that bring stretches of memory to mean 0 and variance 1, then to mean beta and deviation gamma."""

    inputs = ("data", "gamma", "beta")
    outputs = ("output", "mean", "std")
    eps = Float(1e-5, doc="added to the variance", min=0)

    def rows(self, p, shape):
        """The shape of the statistics, one for each row, and how many entries gamma has for rows in turn (0 when it has
        one for each column)."""
        raise NotImplementedError

    def entries(self, p, shape):
        """How many numbers gamma and beta hold; -1 where that is unknown."""
        raise NotImplementedError

    def visible(self, p):
        return 3 if getattr(p, "output_mean_var", False) else 1

    def complete_shapes(self, p, ins, outs):
        ins[0] = outs[0] = unify(ins[0], outs[0])
        if ins[0] is None:
            return
        count = self.entries(p, ins[0])
        for i in (1, 2):
            require(ins, i, self.inputs[i], (count,))

    def output_shapes(self, p, ins):
        statistics, _ = self.rows(p, ins[0])
        return [ins[0], statistics, statistics]

    def geometry(self, p, shape):
        statistics, period = self.rows(p, shape)
        rows = product(statistics)
        n = product(shape) // rows if rows else 0
        return {"rows": rows, "n": n, "period": period, "eps": p.eps}

    def gradient(self, p, node, grads):
        data, gamma = node.inputs[:2]
        _, mean, std = node.outputs
        geometry = self.geometry(p, data.shape)
        result = [None] * 3
        if grads[0] is not None:
            result = list(apply_all("_row_norm_gradient", [grads[0], data, gamma, mean, std], **geometry))
        rows, n = geometry["rows"], geometry["n"]
        for grad, slope in zip(grads[1:], (lambda x: None, lambda x: (x - column(mean)) / column(std)), strict=True):
            if grad is not None:
                x = F.Reshape(data, shape=(rows, n))
                share = column(grad * (1 / n))
                more = slope(x)
                more = F.broadcast_to(share, shape=(rows, n)) if more is None else share * more
                more = F.Reshape(more, shape=data.shape)
                result[0] = more if result[0] is None else result[0] + more
        return result

    def lower(self, p, node, emit):
        data = node.inputs[0]
        emit("row_norm", data.dtype, {**self.geometry(p, data.shape), "parts": 1}, node.inputs, node.outputs)


def column(value):
    """One number for each row."""
    return F.Reshape(value, shape=(-1, 1))


class LayerNorm(_RowNorm):
    """Brings the elements along an axis to mean 0 and variance 1, then multiplies them by gamma and adds beta, which have
    one entry for each place along it."""

    param_order = ("axis", "eps")
    axis = Int(-1, doc="the axis to normalise")
    output_mean_var = Bool(False, doc="also gives the mean and the standard deviation")

    def entries(self, p, shape):
        return shape[normalize_axis(p.axis, len(shape))]

    def rows(self, p, shape):
        axis = normalize_axis(p.axis, len(shape))
        return (*shape[:axis], 1, *shape[axis + 1 :]), 0

    def last(self, p, node):
        ndim = node.inputs[0].ndim
        return normalize_axis(p.axis, ndim) == ndim - 1

    def expand_before_gradient(self, p, train):
        return p.axis != -1

    def expand(self, p, node, train):
        data, gamma, beta = node.inputs
        if p.axis == -1:
            return None
        if self.last(p, node):
            return apply_all("LayerNorm", node.inputs, **{**p._asdict(), "axis": -1})
        turned = apply("SwapAxis", [data], dim1=p.axis, dim2=data.ndim - 1)
        outputs = apply_all("LayerNorm", [turned, gamma, beta], **{**p._asdict(), "axis": -1})
        return [apply("SwapAxis", [v], dim1=p.axis, dim2=data.ndim - 1) for v in outputs]


class InstanceNorm(_RowNorm):
    """Brings every channel of every example to mean 0 and variance 1, then to mean beta and deviation gamma."""

    outputs = ("output", "mean", "var")
    eps = Float(1e-3, doc="added to the variance", min=0)

    def entries(self, p, shape):
        if len(shape) < 3:
            raise ShapeError("data must have at least one axis behind the channels")
        return shape[1]

    def rows(self, p, shape):
        return shape[:2], shape[1]


class GroupNorm(_RowNorm):
    """Cuts the channels into groups, brings every group of every example to mean 0 and variance 1, then multiplies it by
    its entry of gamma and adds that of beta, which have one for each group."""

    param_order = ("num_groups", "eps")
    num_groups = Int(1, doc="groups of channels", min=1)
    output_mean_var = Bool(False, doc="also gives the mean and the standard deviation")

    def entries(self, p, shape):
        return p.num_groups

    def rows(self, p, shape):
        if len(shape) < 3:
            raise ShapeError("data must have at least one axis behind the channels")
        if shape[1] % p.num_groups:
            raise ShapeError(f"{shape[1]} channels cannot be cut into {p.num_groups} groups")
        return (shape[0], p.num_groups), p.num_groups


class RowNormGradient(Op):
    """The gradients of data, gamma and beta of layers that normalise rows."""

    name = "_row_norm_gradient"
    inputs = ("grad", "data", "gamma", "mean", "std")
    outputs = ("data_grad", "gamma_grad", "beta_grad")
    rows = Int(doc="stretches of memory that were normalised", min=0)
    n = Int(doc="elements of each", min=0)
    period = Int(doc="entries of gamma that rows have in turn; 0 for one in each column", min=0)
    eps = Float(doc="accepted so that the parameters are those of the layer")

    def output_shapes(self, p, ins):
        return [ins[1], ins[2], ins[2]]

    def lower(self, p, node, emit):
        data = node.inputs[1]
        # Enough pieces for many threads, each with enough to do; never a number that depends on the machine.
        parts = max(1, min(p.rows, 32, p.rows * p.n // 16384))
        elements = 2 * p.rows if p.period else parts * 2 * p.n
        args = {**p._asdict(), "parts": parts}
        scratch = max(64, elements * max(4, ITEM_SIZES[data.dtype]))
        emit("row_norm_backward", data.dtype, args, node.inputs, node.outputs, scratch=scratch)


class L2Normalization(Op):
    """Divides by the root of the sum of squares plus eps: of each example (instance), of the channels at each place
    (channel) or of each channel (spatial)."""

    outputs = ("output", "norm")
    eps = Float(1e-10, doc="added to the sum of squares")
    mode = Enum(("channel", "instance", "spatial"), "instance", doc="what is summed together")

    def axes(self, p, ndim):
        if p.mode == "instance":
            return tuple(range(1, ndim))
        return (1,) if p.mode == "channel" else tuple(range(2, ndim))

    def visible(self, p):
        return 1

    def complete_shapes(self, p, ins, outs):
        ins[0] = outs[0] = unify(ins[0], outs[0])

    def output_shapes(self, p, ins):
        if len(ins[0]) < (2 if p.mode == "instance" else 3):
            raise ShapeError(
                f"data must have at least {2 if p.mode == 'instance' else 3} dimensions in mode {p.mode!r}"
            )
        axes = self.axes(p, len(ins[0]))
        return [ins[0], tuple(1 if d in axes else n for d, n in enumerate(ins[0]))]

    def expand(self, p, node, train):
        (data,) = node.inputs
        norm = F.sqrt(F._sum_squares(data, axis=self.axes(p, data.ndim), keepdims=True) + p.eps)
        return [data / norm, norm]
