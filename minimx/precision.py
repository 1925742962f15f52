"""Training with short floats: products and convolutions get 16 bits, and so does what lies between them where that is
harmless; everything else stays in float32.

`lowered` rewrites a symbol: casts in front of the layers that gain from it and behind them where others follow. Parameters
stay what they are, so that updates are those of float32. For float16, whose smallest numbers are not small, gradients are
made larger on their way (`LossScale`) and smaller again in the update.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .base import MXNetError
from .op import find
from .ops.loss import _Loss
from .symbol import Symbol
from .symbol_graph import Head, SymbolNode, rebuild

PRECISIONS = ("float32", "float16", "bfloat16")
LOSS_SCALE = "_loss_scale"  # the argument that holds the scale

# Layers that are computed with 16 bits: what they sum up is summed up in float32.
NARROW = frozenset(
    {"Convolution", "Deconvolution", "FullyConnected", "dot", "batch_dot", "_linalg_gemm", "_linalg_gemm2"}
)
# Layers whose data stay in bfloat16, which holds whatever float32 does, while parameters and statistics are float32. float16
# does not reach far enough for that.
NORMALIZING = frozenset({"BatchNorm", "_contrib_BatchNormWithReLU"})
# What only moves numbers or makes each from one or two others goes on in the dtype that arrives.
EITHER = frozenset(
    {
        "Activation",
        "BlockGrad",
        "Concat",
        "Crop",
        "Dropout",
        "Flatten",
        "Pad",
        "Pooling",
        "Reshape",
        "SliceChannel",
        "SwapAxis",
        "_copy",
        "broadcast_add",
        "broadcast_like",
        "broadcast_maximum",
        "broadcast_minimum",
        "broadcast_mul",
        "broadcast_sub",
        "broadcast_to",
        "clip",
        "elemwise_add",
        "elemwise_mul",
        "elemwise_sub",
        "expand_dims",
        "reverse",
        "negative",
        "relu",
        "repeat",
        "reshape_like",
        "sigmoid",
        "slice",
        "slice_axis",
        "slice_like",
        "squeeze",
        "stack",
        "take",
        "tanh",
        "tile",
        "transpose",
    }
)


class LossScale:
    """What gradients are multiplied by: a number, or one that grows until a gradient becomes infinite, and is halved then.
    The update of a step with such gradients is left out."""

    def __init__(self, start: float | str | None = "dynamic", interval: int = 2000):
        self.dynamic = start == "dynamic"
        if not self.dynamic and not (isinstance(start, (int, float)) and start > 0):
            raise ValueError(f"loss_scale must be a positive number or 'dynamic', got {start!r}")
        self.value = 65536.0 if self.dynamic else float(start)  # type: ignore[arg-type]
        self.interval = interval
        self.good = 0  # steps since the last change
        self.skipped = 0  # updates that were left out

    def adjust(self, finite: bool) -> None:
        """Learns whether the gradients of a step were all finite."""
        if not finite:
            self.skipped += 1
            self.good = 0
            self.value = max(self.value / 2, 2.0**-14)
            return
        self.good += 1
        if self.good >= self.interval:
            self.good = 0
            self.value = min(self.value * 2, 2.0**24)


def lowered(symbol: Symbol, precision: str, scaled: bool = False) -> Symbol:
    """The symbol with products and convolutions in float16 or bfloat16. Arguments, states and outputs keep their names and
    dtypes; with `scaled` there is one argument more, LOSS_SCALE, by which all gradients come out multiplied."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    heads = list(symbol._heads)
    if precision != "float32":
        heads = _with_casts(heads, precision)
    if scaled:
        heads = _with_scale(heads)
    return Symbol(heads)


def _apply(name: str, op_name: str, inputs: Sequence[Head], **attrs: str) -> Head:
    op = find(op_name)
    return SymbolNode(op, name, dict(attrs), op.parse(dict(attrs), name), inputs), 0


def _renamed(node: SymbolNode, name: str, inputs: Sequence[Head]) -> SymbolNode:
    return SymbolNode(node.op, name, node.attrs, node.params, inputs)


def _with_casts(heads: list[Head], dtype: str) -> list[Head]:
    narrow: set[Head] = set()  # outputs that have 16 bits
    casts: dict[tuple[Head, str], Head] = {}

    def cast(head: Head, to: str) -> Head:
        if (head in narrow) == (to == dtype):
            return head
        if (head, to) not in casts:
            made = casts[head, to] = _apply(f"{head[0].output_name(head[1])}_{to}", "amp_cast", [head], dtype=to)
            if to == dtype:
                narrow.add(made)
        return casts[head, to]

    def change(node: SymbolNode, inputs: tuple[Head, ...]) -> Sequence[Head] | None:
        if node.op is None:
            return None
        short = [head in narrow for head in inputs]
        low = node.op.name in NARROW or (node.op.name in EITHER and all(short) and bool(short))
        data_low = dtype == "bfloat16" and node.op.name in NORMALIZING and short[0]
        if data_low:
            inputs = (inputs[0], *(cast(head, "float32") for head in inputs[1:]))
        elif low:
            inputs = tuple(cast(head, dtype) for head in inputs)
        elif any(short):
            inputs = tuple(cast(head, "float32") for head in inputs)
        elif inputs == node.inputs:
            return None
        made = SymbolNode(node.op, node.name, node.attrs, node.params, inputs)
        outputs = [(made, i) for i in range(made.output_count)]
        narrow.update(outputs if low else outputs[:1] if data_low else ())
        return outputs

    done = rebuild(heads, change)
    return [_like(old, new, cast(new, "float32")) for old, new in zip(heads, done, strict=True)]


def _like(old: Head, inner: Head, outer: Head) -> Head:
    """An output under the name that it had before something was put behind its operator."""
    if inner is outer:
        return inner
    node, index = old
    if node.op is None or node.op.output_names(node.params)[index] != "output":
        return outer
    return SymbolNode(outer[0].op, node.name, outer[0].attrs, outer[0].params, outer[0].inputs), 0


def _with_scale(heads: list[Head]) -> list[Head]:
    scale = (SymbolNode(None, LOSS_SCALE, {"__shape__": "(1,)"}), 0)
    behind = 0

    def scaled(head: Head) -> Head:
        nonlocal behind
        behind += 1
        return _apply(f"{head[0].output_name(head[1])}_scaled{behind}", "_scale_gradient", [head, scale])

    def change(node: SymbolNode, inputs: tuple[Head, ...]) -> Sequence[Head] | None:
        if node.op is None or not _is_loss(node):
            return None
        # A gradient that begins here does not come from the outputs: it is scaled as soon as it leaves.
        fed = [scaled(head) if head[0].op is not None else head for head in inputs]
        return [(SymbolNode(node.op, node.name, node.attrs, node.params, fed), i) for i in range(node.output_count)]

    done = rebuild(heads, change)
    return [new if _is_loss(new[0]) else _like(old, new, scaled(new)) for old, new in zip(heads, done, strict=True)]


def _is_loss(node: SymbolNode) -> bool:
    """Whether a layer's gradient does not depend on what arrives at its outputs."""
    if node.op is None:
        return False
    if isinstance(node.op, _Loss):
        return not getattr(node.params, "out_grad", False)
    if node.op.name == "Custom":
        return not node.params.prop.need_top_grad_
    return node.op.name in ("MakeLoss", "make_loss")


class Precision:
    """What a module knows about the numbers that it computes with. Several modules may share one."""

    def __init__(self, precision: str = "float32", loss_scale: float | str | None = None):
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        if loss_scale is None and precision == "float16":
            loss_scale = "dynamic"
        self.dtype = precision
        self.choice = (precision, loss_scale)
        self.scale = None if loss_scale is None else LossScale(loss_scale)

    @property
    def plain(self) -> bool:
        return self.dtype == "float32" and self.scale is None

    @property
    def guarded(self) -> bool:
        """Whether updates are left out when gradients are not finite."""
        return self.scale is not None and self.scale.dynamic

    def symbol(self, symbol: Symbol) -> Symbol:
        """What is computed for a symbol."""
        return symbol if self.plain else lowered(symbol, self.dtype, self.scale is not None)

    def tell(self, executors: Sequence[Any]) -> None:
        """Gives executors the present scale."""
        if self.scale is None:
            return
        for executor in executors:
            if getattr(executor, "loss_scale", None) != self.scale.value:
                executor.arg_dict[LOSS_SCALE][:] = executor.loss_scale = self.scale.value

    @contextmanager
    def updating(self, optimizer: Any) -> Iterator[None]:
        """Lets an optimizer take the scale out of gradients."""
        if self.scale is None:
            yield
            return
        before = optimizer.rescale_grad
        optimizer.rescale_grad = before / self.scale.value
        try:
            yield
        finally:
            optimizer.rescale_grad = before

    def learn(self, finite: bool) -> bool:
        """Hears whether a step's gradients were finite; whether there is an update."""
        if self.scale is not None and self.scale.dynamic:
            self.scale.adjust(finite)
            return finite
        return True

    def state(self) -> Any:
        """The state of the scale, as plain values."""
        s = self.scale
        return None if s is None else {"value": s.value, "good": s.good, "skipped": s.skipped}

    def load_state(self, state: Any) -> None:
        if (state is None) != (self.scale is None):
            raise MXNetError("the training that is to be resumed was of another precision or loss_scale")
        if self.scale is not None:
            self.scale.value, self.scale.good, self.scale.skipped = state["value"], state["good"], state["skipped"]
