"""Running sums, and counting what lies in which interval."""

from __future__ import annotations

from ..base import ShapeError
from ..op import Op, normalize_axis, product, share_dtype
from ..params import Bool, DType, Floats, Int
from ..strided import around
from .elemwise import F

SUMMED = ("float32", "float64", "int32", "int64")  # dtypes that the kernels know
PIECE = 8192  # elements of a row that are summed up by themselves, as in csrc/cpu/scan.cpp


class CumSum(Op):
    """The sum of all elements up to each one along an axis."""

    name = "_np_cumsum"
    aliases = ("cumsum",)
    inputs = ("a",)
    partial_shapes = True
    axis = Int(None, doc="the axis to add along; None adds up the flattened array")
    dtype = DType(None, doc="dtype of the sums; None: of the data, int64 for bool")

    def output_shapes(self, p, ins):
        (shape,) = ins
        if p.axis is None:
            return [(-1 if -1 in shape else product(shape),)]
        normalize_axis(p.axis, len(shape))
        return [shape]

    def infer_types(self, p, ins, outs):
        if p.dtype or ins[0] == "bool":
            outs[0] = p.dtype or "int64"
        else:
            share_dtype(ins, outs)

    def expand(self, p, node, train):
        x, out = node.inputs[0], node.outputs[0]
        if p.axis is None:
            x = F.Reshape(x, shape=(-1,))
        if out.dtype in SUMMED or out.dtype in ("float16", "bfloat16"):
            wide = out.dtype if out.dtype in SUMMED else "float32"
        else:
            wide = "int32"  # which bytes wrap around in as they would by themselves
        x = x if x.dtype == wide else F.Cast(x, dtype=wide)
        y = F._running_sum(x, axis=normalize_axis(p.axis or 0, x.ndim))
        return [y if out.dtype == wide else F.Cast(y, dtype=out.dtype)]


class RunningSum(Op):
    """`cumsum` along an axis, from either end."""

    name = "_running_sum"
    axis = Int(min=0, doc="the axis to add along")
    reverse = Bool(False, doc="whether to begin at the end")

    def output_shapes(self, p, ins):
        return [ins[0]]

    def gradient(self, p, node, grads):
        return [F._running_sum(grads[0], axis=p.axis, reverse=not p.reverse)]

    def lower(self, p, node, emit):
        data = node.inputs[0]
        outer, n, inner = around(data.shape, p.axis)
        args = {"outer": outer, "n": n, "inner": inner, "reverse": int(p.reverse)}
        scratch = 8 * outer * -(-n // PIECE) if inner == 1 and n else 0
        emit("cumsum", data.dtype, args, [data], node.outputs, scratch=scratch)


class Histogram(Op):
    """How many elements lie in each of some intervals: `bin_cnt` of one width between the two numbers `range`, or those
    between the numbers of `bins`, which rise. The last interval includes its end. The second output holds the ends."""

    name = "_histogram"
    inputs = ("data", "bins")
    outputs = ("output0", "output1")
    bin_cnt = Int(None, min=1, doc="the number of intervals; None: they are given by `bins`")
    range = Floats(None, doc="where the first interval begins and the last one ends")

    def input_names(self, p):
        return self.inputs if p.bin_cnt is None else ("data",)

    def output_shapes(self, p, ins):
        if p.bin_cnt is None:
            if len(ins[1]) != 1 or ins[1][0] < 2:
                raise ShapeError("bins must be a vector of at least two numbers")
            return [(ins[1][0] - 1,), ins[1]]
        if p.range is None or len(p.range) != 2 or not p.range[0] < p.range[1]:
            raise ShapeError(f"with bin_cnt, range must be two numbers that rise, got {p.range}")
        return [(p.bin_cnt,), (p.bin_cnt + 1,)]

    def infer_types(self, p, ins, outs):
        known = next((t for t in [*ins, outs[1]] if t), None)
        ins[:] = [t or known for t in ins]
        outs[:] = ["int64", outs[1] or known]

    def gradient(self, p, node, grads):
        return [None] * len(node.inputs)

    def expand(self, p, node, train):
        data, edges = node.inputs[0], node.outputs[1]
        if p.bin_cnt is None:
            ends = node.inputs[1]
        else:
            low, high = p.range
            ends = F._linspace(start=low, stop=high, num=p.bin_cnt + 1, dtype=edges.dtype)
        wide = F.Cast(ends, dtype="float64")
        if data.dtype not in SUMMED:
            data = F.Cast(data, dtype="float32")
        return [F._bin_counts(data, wide, uniform=p.bin_cnt is not None), ends]


class BinCounts(Op):
    """How many elements lie between neighbours of `edges`."""

    name = "_bin_counts"
    inputs = ("data", "edges")
    uniform = Bool(False, doc="whether the edges are evenly spaced")

    def output_shapes(self, p, ins):
        return [(ins[1][0] - 1,)]

    def infer_types(self, p, ins, outs):
        ins[1] = "float64"
        outs[0] = "int64"

    def gradient(self, p, node, grads):
        return [None, None]

    def lower(self, p, node, emit):
        data, edges = node.inputs
        bins = edges.size - 1
        args = {"size": data.size, "bins": bins, "uniform": int(p.uniform)}
        emit("histogram", data.dtype, args, [data, edges], node.outputs, scratch=8 * bins * emit.threads)
