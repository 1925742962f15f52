"""Batch normalisation."""

from __future__ import annotations

from ..base import ShapeError, TypeInferenceError
from ..graph import apply, apply_all, apply_op
from ..op import Op, find, normalize_axis, require, unify
from ..params import Bool, Float, Int, Text
from ..passes.lower import HALF
from ..strided import around

# What csrc/cpu/norm_last.cpp shares out to threads.
MOST_PARTS, ROWS_OF_A_PART = 64, 256


class _Normalizing(Op, abstract=True):
    eps = Float(1e-3, doc="added to the variance", min=0)
    fix_gamma = Bool(True, doc="gamma counts as 1 and is set to it")
    axis = Int(1, doc="the axis of the channels")

    def moved_axis(self, p, node, moved, plain):
        """The outputs from images whose channels were moved."""
        if node.inputs[0].ndim != 4 or normalize_axis(p.axis, 4) != 1:
            return None
        inputs = [moved(v) if v.ndim == 4 else plain(v) for v in node.inputs]
        return list(apply_op(self, inputs, p._replace(axis=3)).outputs)

    def channels_last(self, p, node, moved, plain):
        return self.moved_axis(p, node, moved, plain)

    @staticmethod
    def emit(p, emit, kernel, data, ins, outs, way=""):
        outer, channels, inner = around(data.shape, normalize_axis(p.axis, data.ndim))
        args = {"channels": channels, "eps": p.eps, "fix_gamma": int(p.fix_gamma)}
        if inner != 1 or emit.device[0] != "cpu":
            emit(kernel + way, data.dtype, {"outer": outer, "inner": inner, **args}, ins, outs)
            return
        parts = max(1, min(MOST_PARTS, outer // ROWS_OF_A_PART))
        scratch = channels * (16 * parts + 3 * 8)
        emit(f"{kernel}_last{way}", data.dtype, {"rows": outer, "parts": parts, **args}, ins, outs, scratch=scratch)


class BatchNorm(_Normalizing):
    """Brings every channel to mean 0 and variance 1 over the batch, then to mean beta and deviation gamma.

    In training the statistics are those of the batch, and the backward pass moves the moving statistics towards them.
    Otherwise, or with use_global_stats, they are the moving ones, which count as constants.
    """

    cheap = True
    inputs = ("data", "gamma", "beta", "moving_mean", "moving_var")
    aux = ("moving_mean", "moving_var")
    outputs = ("output", "mean", "var")
    param_order = ("eps", "momentum", "fix_gamma", "use_global_stats", "output_mean_var", "axis")
    momentum = Float(0.9, doc="how much of the moving statistics a step keeps")
    use_global_stats = Bool(False, doc="takes the moving statistics in training, too")
    output_mean_var = Bool(False, doc="also gives the mean and, named var, one over the standard deviation")
    cudnn_off = Bool(False, doc="accepted for MXNet's sake")
    min_calib_range = Float(None, doc="accepted for MXNet's sake")
    max_calib_range = Float(None, doc="accepted for MXNet's sake")

    def visible(self, p):
        return 3 if p.output_mean_var else 1

    def complete_shapes(self, p, ins, outs):
        ins[0] = outs[0] = unify(ins[0], outs[0])
        channels = -1 if ins[0] is None else ins[0][normalize_axis(p.axis, len(ins[0]))]
        for i in range(1, 5):
            require(ins, i, self.inputs[i], (channels,))

    def output_shapes(self, p, ins):
        return [ins[0], ins[1], ins[1]]

    def infer_types(self, p, ins, outs):
        data = ins[0] or outs[0]
        if data is None:
            return
        ins[0] = outs[0] = data
        statistics = "float32" if data in HALF else data
        for types in (ins, outs):
            for i in range(1, len(types)):
                types[i] = types[i] or statistics
                if types[i] != statistics:
                    raise TypeInferenceError(f"parameters and statistics must be {statistics}, got {types[i]}")

    def key_variable_attrs(self, p, input_name):
        return {"moving_mean": {"__init__": '["zero", {}]'}, "moving_var": {"__init__": '["one", {}]'}}.get(
            input_name, {}
        )

    def expand_before_gradient(self, p, train):
        return p.use_global_stats or not train

    def expand(self, p, node, train):
        if train and not p.use_global_stats:
            return None
        data, gamma, beta, mean, variance = node.inputs
        inverse = apply("rsqrt", [variance + p.eps])
        scale, shift = scale_and_shift(p, gamma, beta, mean, inverse)
        shape = [1] * data.ndim
        shape[normalize_axis(p.axis, data.ndim)] = -1
        scale, shift = (apply("reshape", [v], shape=shape) for v in (scale, shift))
        if scale.dtype != data.dtype:
            out = apply("Cast", [apply("Cast", [data], dtype=scale.dtype) * scale + shift], dtype=data.dtype)
        else:
            out = data * scale + shift
        return [out, mean, inverse]

    def gradient(self, p, node, grads):
        if grads[0] is None:
            return [None] * 3
        data, gamma = node.inputs[:2]
        own = {name: getattr(p, name) for name in _Normalizing.params}
        return apply_all("_batch_norm_gradient", [grads[0], data, gamma, *node.outputs[1:]], **own)

    def updates(self, p, node):
        if p.use_global_stats:
            return {}
        _, gamma, _, moving_mean, moving_var = node.inputs
        _, mean, inverse = node.outputs
        variance = 1.0 / (inverse * inverse) - p.eps
        keep, take = p.momentum, 1.0 - p.momentum
        changes = {3: moving_mean * keep + mean * take, 4: moving_var * keep + variance * take}
        if p.fix_gamma and gamma.node.op is None:
            changes[1] = apply("ones_like", [gamma])
        return changes

    def lower(self, p, node, emit):
        data, gamma, beta = node.inputs[:3]
        self.emit(p, emit, "batch_norm", data, [data, gamma, beta], node.outputs)


def scale_and_shift(p, gamma, beta, mean, inverse):
    """What a channel is multiplied by, and what is added then."""
    scale = inverse if p.fix_gamma else inverse * gamma
    return scale, beta - mean * scale


class BatchNormGradient(_Normalizing):
    """The gradients of BatchNorm's data, gamma and beta."""

    name = "_batch_norm_gradient"
    inputs = ("grad", "data", "gamma", "mean", "invstd")
    outputs = ("data_grad", "gamma_grad", "beta_grad")

    def output_shapes(self, p, ins):
        return [ins[1], ins[2], ins[2]]

    def infer_types(self, p, ins, outs):
        ins[0] = outs[0] = ins[1]
        outs[1] = outs[2] = ins[2]

    def lower(self, p, node, emit):
        data = node.inputs[1]
        self.emit(p, emit, "batch_norm", data, node.inputs, node.outputs, "_backward")


class _MadeOfBatchNorm(Op, abstract=True):
    """Base of layers that are a BatchNorm and something more."""

    inputs = BatchNorm.inputs
    aux = BatchNorm.aux
    outputs = BatchNorm.outputs
    eps = Float(1e-3, doc="added to the variance", min=0)
    momentum = Float(0.9, doc="how much of the moving statistics a step keeps")
    fix_gamma = Bool(True, doc="gamma counts as 1 and is set to it")
    use_global_stats = Bool(False, doc="takes the moving statistics in training, too")
    output_mean_var = Bool(False, doc="also gives the mean and, named var, one over the standard deviation")

    axis_of = staticmethod(lambda p: 1)

    def inner(self, p):
        """The parameters of the BatchNorm."""
        shared = {n: v for n, v in p._asdict().items() if n in BatchNorm.params}
        return find("BatchNorm").parse({**shared, "axis": self.axis_of(p)})

    def visible(self, p):
        return 3 if p.output_mean_var else 1

    def complete_shapes(self, p, ins, outs):
        find("BatchNorm").complete_shapes(self.inner(p), ins, outs)

    def output_shapes(self, p, ins):
        return [ins[0], ins[1], ins[1]]

    def infer_types(self, p, ins, outs):
        find("BatchNorm").infer_types(p, ins, outs)

    def key_variable_attrs(self, p, input_name):
        return find("BatchNorm").key_variable_attrs(p, input_name)

    def expand(self, p, node, train):
        out, *statistics = apply_all("BatchNorm", node.inputs, **self.inner(p)._asdict())
        return [self.after(out), *statistics]

    def after(self, out):
        return out


class SyncBatchNorm(_MadeOfBatchNorm):
    """BatchNorm whose statistics are those of the whole batch on all devices. Each device here runs a program of its own,
    so that `ndev` must be 1: the layer is then BatchNorm."""

    name = "_contrib_SyncBatchNorm"
    param_order = ("eps", "momentum", "fix_gamma", "use_global_stats", "output_mean_var")
    ndev = Int(1, doc="accepted when 1: devices that share the batch", min=1)
    key = Text(doc="accepted: the name under which devices find each other")

    def output_shapes(self, p, ins):
        if p.ndev != 1:
            raise ShapeError(f"ndev={p.ndev}: statistics are shared within one program only, ndev must be 1")
        return super().output_shapes(p, ins)


class BatchNormWithReLU(_MadeOfBatchNorm):
    """BatchNorm, and 0 for whatever is negative then."""

    name = "_contrib_BatchNormWithReLU"
    param_order = BatchNorm.param_order
    axis = Int(1, doc="the axis of the channels")
    cudnn_off = Bool(False, doc="accepted for MXNet's sake")
    min_calib_range = Float(None, doc="accepted for MXNet's sake")
    max_calib_range = Float(None, doc="accepted for MXNet's sake")

    axis_of = staticmethod(lambda p: p.axis)

    def after(self, out):
        return apply("relu", [out])
