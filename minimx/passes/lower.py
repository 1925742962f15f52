"""lower: turns the nodes of a graph into calls of kernels on buffers.

Every value gets a buffer: bound (arguments, states, outputs, gradients), or temporary (placed later by plan), or a view of
another buffer (reshapes and leading-axis slices cost nothing).
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from .. import _core
from ..base import ITEM_SIZES, DeviceError, bits
from ..elementwise import Tape, emit_tape
from ..graph import Device, Graph, Node, Value, topological
from ..op import Op

HALF = ("float16", "bfloat16")
Key = tuple[str, Any]
Function = TypeVar("Function", bound=Callable[..., Any])


def multiplies(dtype: str, device: Device | None) -> bool:
    """Whether products and convolutions of a dtype have kernels of their own. Those of bfloat16 are there where the CPU has
    an instruction for them, or if MINIMX_BF16 is 1."""
    if dtype != "bfloat16":
        return dtype in ("float32", "float64")
    return _core.device(*(device or ("cpu", 0))).has_kernel("gemm.bfloat16")


class Buffer:
    """Memory that calls read and write. `bound` says what outside array it is; None makes it temporary."""

    __slots__ = ("shape", "dtype", "nbytes", "device", "bound", "parent", "offset", "number")
    _numbers = count(1)

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: str,
        device: Device,
        bound: Key | None = None,
        parent: Buffer | None = None,
        offset: int = 0,
    ):
        self.shape = shape
        self.dtype = dtype
        size = ITEM_SIZES[dtype]
        for d in shape:
            size *= d
        self.nbytes = size
        self.device = device
        self.bound = bound
        self.parent = parent
        self.offset = offset  # bytes from the start of the parent
        self.number = next(Buffer._numbers)

    def root(self) -> tuple[Buffer, int]:
        buffer, offset = self, 0
        while buffer.parent is not None:
            offset += buffer.offset
            buffer = buffer.parent
        return buffer, offset

    def __repr__(self) -> str:
        root, offset = self.root()
        name = f"{root.bound[0]}:{root.bound[1]}" if root.bound else f"%{root.number}"
        return f"{name}{f'+{offset}' if offset else ''}:{self.dtype}{list(self.shape)}"


@dataclass(slots=True, eq=False)
class Call:
    """One kernel on buffers, for the node it came from. `kind` is kernel, copy, random_step or host."""

    kind: str
    kernel: str
    args: dict[str, Any]
    reads: list[Buffer | None]
    writes: list[Buffer]
    device: Device
    node: str
    inplace: tuple[int, ...] = ()  # reads whose memory the first write may take over
    scratch: Buffer | None = None
    body: Callable[[list, list], None] | None = None
    kept: bool = False  # what it writes lasts; it need not run again while what it reads stays the same
    op: str = ""  # the operators it stands for
    like: Call | None = None  # the first call that does the same to other buffers

    def operands(self) -> list[Buffer | None]:
        return [*self.reads, *self.writes, self.scratch] if self.scratch else [*self.reads, *self.writes]

    def __repr__(self) -> str:
        return f"{', '.join(map(repr, self.writes))} = {self.kernel}({', '.join(map(repr, self.reads))})  # {self.node}"


@dataclass
class Lowered:
    """Calls in running order; the first `mark` of them are the forward part."""

    calls: list[Call]
    mark: int
    bound: dict[Key, Buffer] = field(default_factory=dict)


@dataclass(slots=True)
class _Pattern:
    """What a node that became a single call on its own values was lowered to: the call, and which of the node's inputs and
    outputs are its operands."""

    call: Call
    reads: list[int | None]
    writes: list[int]


def _by_itself(method: Function) -> Function:
    """Marks what depends on more than the types of a node: where its values lie, or a number of its own. A node whose
    operator asks for it does not stand for others."""

    @functools.wraps(method)
    def run(self: Emit, *args: Any, **kwargs: Any) -> Any:
        self._alike = False
        return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]


class Emit:
    """What an operator's `lower` writes its calls to."""

    def __init__(self, train: bool = False, keeps: bool = False) -> None:
        self.train = train
        self.keeps = keeps
        self.calls: list[Call] = []
        self.buffers: dict[Value, Buffer] = {}
        self.bound: dict[Key, Buffer] = {}
        self.node: Node | None = None
        self.device: Device = ("cpu", 0)
        self.random: dict[Device, Buffer] = {}
        self._has: dict[tuple[Device, str], bool] = {}  # whether a device has a kernel
        self._shared: dict[Node, Any] = {}
        self._patterns: dict[Any, _Pattern] = {}
        self._alike = True
        self._places: dict[Value, tuple[Value, int]] = {}

    # ---- for operators ----------------------------------------------------------------------------------------------

    def __call__(
        self,
        kernel: str,
        dtype: str | None,
        args: Mapping[str, Any],
        ins: Sequence[Value | Buffer | None],
        outs: Sequence[Value | Buffer],
        scratch: int = 0,
        inplace: Sequence[int] = (),
    ) -> None:
        """One call of `kernel.dtype`. Half precision runs in float32 between casts where the kernel has no such form.

        `scratch` is in bytes; `inplace` names inputs whose memory the first output may reuse.
        """
        device = self.device
        name = f"{kernel}.{dtype}" if dtype else kernel
        reads = [None if v is None else self._memory(v) for v in ins]
        writes = [self._memory(v) for v in outs]
        if (device, name) not in self._has:
            self._has[device, name] = _core.device(*device).has_kernel(name)
        if not self._has[device, name]:
            if dtype in HALF:
                self._through_float32(kernel, args, reads, writes, scratch)
                return
            raise DeviceError(f"{self._where()}: device {device[0]} has no kernel {name}")
        space = Buffer((scratch,), "uint8", device) if scratch else None
        call = Call(
            "kernel", name, dict(args), reads, writes, device, self._name(), tuple(inplace), space, op=self._op()
        )
        self.calls.append(call)

    @_by_itself
    def buffer(self, v: Any) -> Any:
        """The buffer of a value, to look at or to place elsewhere. Operands of calls need not ask for theirs."""
        return self._memory(v)

    def temp(self, shape: Sequence[int], dtype: str) -> Buffer:
        """A temporary buffer."""
        return Buffer(tuple(shape), dtype, self.device)

    @_by_itself
    def alias(self, out: Value, source: Value | Buffer, offset: int = 0) -> None:
        """`out` is the memory of `source` from `offset` bytes on."""
        self.buffers[out] = Buffer(out.shape, out.dtype, self.device, None, self.buffer(source), offset)

    @_by_itself
    def view(self, source: Value | Buffer, shape: Sequence[int], dtype: str | None = None, offset: int = 0) -> Buffer:
        """A part of a buffer, or the same bytes under another shape."""
        base = self.buffer(source)
        return Buffer(tuple(shape), dtype or base.dtype, self.device, None, base, offset)

    def cast(self, source: Value | Buffer, dtype: str) -> Buffer:
        """`source` as another dtype (itself when it has it already); what index operands go through."""
        buffer = self._memory(source)
        if buffer.dtype == dtype:
            return buffer
        result = Buffer(buffer.shape, dtype, self.device)
        self._convert(buffer, result)
        return result

    def pitch(self, v: Value) -> int:
        """Elements from row to row of a value that belongs into a wider one; 0 where rows lie together."""
        return self._places[v][0].shape[-1] if v in self._places else 0

    def is_placed(self, v: Value) -> bool:
        """Whether a value is written right into the one that it is joined to."""
        self._alike = self._alike and not self._places
        return v in self._places

    def fill(self, target: Value | Buffer, value: float) -> None:
        """Sets every element."""
        buffer = self._memory(target)
        args = {"count": buffer.nbytes // ITEM_SIZES[buffer.dtype], "bits": bits(value, buffer.dtype)}
        self("fill", str(ITEM_SIZES[buffer.dtype]), args, [], [buffer])

    @_by_itself
    def random_state(self) -> Buffer:
        """The 16 bytes {seed, step} that random kernels of this run read."""
        if self.device not in self.random:
            self.random[self.device] = Buffer((2,), "int64", self.device)
        return self.random[self.device]

    @_by_itself
    def stream(self) -> int:
        """A number that is this node's own within the graph, for random kernels."""
        self._streams = getattr(self, "_streams", 0) + 1
        return self._streams

    def host(self, name: str, body: Callable[[list, list], None], ins: Sequence[Value], outs: Sequence[Value]) -> Call:
        """Python inside the program: `body(reads, writes)` runs with the GIL, on arrays that are valid until it returns."""
        reads = [self.buffer(v) for v in ins]
        writes = [self.buffer(v) for v in outs]
        call = Call("host", name, {}, reads, writes, self.device, self._name(), body=body, op=self._op())
        self.calls.append(call)
        return call

    @_by_itself
    def shared(self, node: Node, make: Callable[[], Any]) -> Any:
        """Something that the calls of one node of the user's symbol have in common; made by the first that asks."""
        if node not in self._shared:
            self._shared[node] = make()
        return self._shared[node]

    def copy(self, source: Value | Buffer, target: Value | Buffer) -> None:
        """The same bytes in another place, on this or another device."""
        a, b = self.buffer(source), self.buffer(target)
        self.calls.append(Call("copy", "copy", {"bytes": b.nbytes}, [a], [b], b.device, self._name(), op=self._op()))

    @_by_itself
    def keep(self, source: Value, out: Value) -> bool:
        """Gives `out` memory of its own that lasts from run to run, where it is made of a bound array alone and programs
        keep things. The call that makes it is then marked `kept`."""
        if not self.keeps or self.buffer(source).bound is None:
            return False
        self.bind(out, ("kept", len(self.bound)))
        return True

    @property
    def threads(self) -> int:
        """Workers a kernel of this device may use: what per-thread scratch is multiplied with."""
        return _core.thread_count() if self.device[0] == "cpu" else 1

    # ---- inside -----------------------------------------------------------------------------------------------------

    def turn_to(self, node: Node | None) -> None:
        """Calls from now on are for this node."""
        self.node = node
        self.device = node.device if node is not None and node.device else ("cpu", 0)

    def lower(self, node: Node) -> None:
        """The calls of a node. Most operators name one kernel for it, which follows, with all its arguments, from the
        operator, its parameters and the types of the node's values: what was named for one node holds for all like it."""
        self.turn_to(node)
        key = None if self._places and not self._places.keys().isdisjoint(node.outputs) else _kind_of(node)
        try:
            pattern = self._patterns.get(key)
        except TypeError:  # parameters that have no hash
            key = pattern = None
        if pattern is not None:
            self._repeat(pattern, node)
            return
        before, self._alike = len(self.calls), True
        node.op.lower(node.params, node, self)
        if key is not None and self._alike and len(self.calls) == before + 1:
            self._learn(key, node, self.calls[-1])

    def _learn(self, key: Any, node: Node, call: Call) -> None:
        place: dict[Buffer | None, int | None] = {
            self.buffers.get(v): i for i, v in enumerate(node.inputs + node.outputs)
        }
        place[None] = None
        if call.kind == "kernel" and all(b in place for b in (*call.reads, *call.writes)):
            writes: list[Any] = [place[b] for b in call.writes]
            self._patterns[key] = _Pattern(call, [place[b] for b in call.reads], writes)

    def _repeat(self, pattern: _Pattern, node: Node) -> None:
        values, like, known = node.inputs + node.outputs, pattern.call, self.buffers
        reads = [None if i is None else known.get(v := values[i]) or self._memory(v) for i in pattern.reads]
        writes = [known.get(v := values[i]) or self._memory(v) for i in pattern.writes]
        space = Buffer(like.scratch.shape, "uint8", self.device) if like.scratch else None
        call = Call("kernel", like.kernel, like.args, reads, writes, self.device, node.name, like.inplace, space)
        call.op, call.like = like.op, like
        self.calls.append(call)

    def _memory(self, v: Any) -> Any:
        if not isinstance(v, Value):
            return v
        found = self.buffers.get(v)
        if found is None:
            whole, start = self._places.get(v, (None, 0))
            parent = None if whole is None else self._memory(whole)
            offset = start * ITEM_SIZES[v.dtype]
            found = self.buffers[v] = Buffer(v.shape, v.dtype, v.node.device or self.device, None, parent, offset)
        return found

    def place(self, graph: Graph) -> None:
        """Finds what may be written right into a value that it is joined to: rows that nothing else reads."""
        if not any(type(op).joins_rows is not Op.joins_rows for op in graph.operators if op is not None):
            return
        uses = graph.uses()
        for node in graph.nodes():
            if node.op is None or not node.op.joins_rows(node.params, node):
                continue
            start = 0
            for value in node.inputs:
                maker = value.node
                apart = maker.op is not None and maker.op.writes_rows_apart(maker.params, maker)
                if apart and uses[value] == 1 and maker.device == node.device:
                    self._places[value] = node.outputs[0], start
                start += value.shape[-1]

    def bind(self, value: Value, key: Key) -> Buffer:
        buffer = Buffer(value.shape, value.dtype, value.node.device or self.device, key)
        self.buffers[value] = self.bound[key] = buffer
        return buffer

    def _convert(self, source: Buffer, target: Buffer) -> None:
        tape = Tape(1)
        from ..elementwise import Operand, compute_type

        kind = compute_type([source.dtype, target.dtype])
        emit_tape(tape, kind, [source], [target], [Operand("input", 0)], self)

    def _through_float32(self, kernel, args, reads, writes, scratch) -> None:
        wide_in = [self.cast(b, "float32") if b is not None and b.dtype in HALF else b for b in reads]
        wide_out = [Buffer(b.shape, "float32", b.device) if b.dtype in HALF else b for b in writes]
        self(kernel, "float32", args, wide_in, wide_out, scratch)
        for wide, narrow in zip(wide_out, writes, strict=True):
            if wide is not narrow:
                self._convert(wide, narrow)

    def _name(self) -> str:
        return self.node.name if self.node else ""

    def _op(self) -> str:
        return self.node.op.title(self.node.params) if self.node and self.node.op else ""

    def _where(self) -> str:
        return f"{self.node.op.name}({self.node.name})" if self.node and self.node.op else "program"


def _kind_of(node: Node) -> Any:
    """What nodes that are lowered alike have in common; None when there is no telling."""
    values = node.inputs + node.outputs
    if len(set(values)) < len(values):
        return None  # a value comes twice: which of the two an operand is cannot be seen
    return node.op, node.op.key(node.params), node.device, tuple([v.type for v in values])


def lower(graph: Graph, keeps: bool = False) -> Lowered:
    """The calls of a graph. `keeps`: of a program that runs again and again on arrays that seldom change."""
    emit = Emit(graph.train, keeps)
    for kind, values in (("arg", graph.arguments), ("aux", graph.auxiliary), ("grad", graph.accumulators)):
        for name, value in values.items():
            emit.bind(value, (kind, name))
    for i, seed in enumerate(graph.head_grads):
        emit.bind(seed, ("head_grad", i))
    emit.place(graph)
    _lower_nodes(graph.forward_nodes, emit)
    for i, value in enumerate(graph.outputs):
        _deliver(value, ("out", i), emit)
    _update_all(graph.early_updates, emit)
    mark = len(emit.calls)
    _lower_nodes(
        topological(_backward_order(graph), graph.forward_nodes) if graph.updates else graph.backward_nodes, emit
    )
    for name, value in graph.gradients.items():
        _deliver(value, ("grad", name), emit, graph.arguments[name].node.device)
    _update_all(graph.updates, emit)
    steps = [
        Call("random_step", "random_step", {}, [], [state], device, "random") for device, state in emit.random.items()
    ]
    return Lowered(steps + emit.calls, mark + len(steps), emit.bound)


def _backward_order(graph: Graph) -> list[Value]:
    """The roots of the backward part; whatever reads the old value of a state comes before its update, so that the update
    can write in place."""
    readers: dict[Value, list[Value]] = {target: [] for target, _ in graph.updates}
    for node in graph.backward_nodes if readers else ():
        for value in node.inputs:
            if value in readers:
                readers[value].append(node.outputs[0])
    target_of = {value: target for target, value in graph.updates}
    order: list[Value] = []
    for root in graph.backward_roots():
        order += [r for r in readers.get(target_of.get(root, root), ()) if r.node is not root.node]
        order.append(root)
    return order


def _lower_nodes(nodes: Sequence[Node], emit: Emit) -> None:
    for node in nodes:
        if node.op is not None:
            emit.lower(node)
    emit.turn_to(None)


def _deliver(value: Value, key: Key, emit: Emit, home: Device | None = None) -> None:
    """Makes `value` arrive in the bound array `key`: its temporary becomes that array, or it is copied there."""
    buffer = emit.buffer(value)
    root, offset = buffer.root()
    if root.bound is None and offset == 0 and root.nbytes == buffer.nbytes and home in (None, root.device):
        root.bound = key
        emit.bound[key] = root
        return
    target = emit.bound[key] = Buffer(value.shape, value.dtype, home or buffer.device, key)
    emit.turn_to(value.node if value.node.op else None)
    emit.copy(buffer, target)
    emit.turn_to(None)


class _Uses:
    """Which calls read and write every root buffer, while updates find their places."""

    def __init__(self) -> None:
        self.reads: dict[Buffer, list[int]] = defaultdict(list)
        self.writes: dict[Buffer, list[int]] = defaultdict(list)
        self.seen = 0

    def look_at(self, calls: Sequence[Call]) -> None:
        """Takes in the calls that have been added since the last time."""
        for i in range(self.seen, len(calls)):
            for found, buffers in ((self.reads, calls[i].reads), (self.writes, calls[i].writes)):
                for root in {b.root()[0] for b in buffers if b is not None}:
                    found[root].append(i)
        self.seen = len(calls)

    def join(self, root: Buffer, home: Buffer) -> None:
        """`root` has become a part of `home`."""
        for found in (self.reads, self.writes):
            found[home] += found.pop(root, [])


def _update_all(updates: Sequence[tuple[Value, Value]], emit: Emit) -> None:
    """Writes the new values of states into the states."""
    uses = _Uses()
    for target, value in updates:
        uses.look_at(emit.calls)
        _update(target, value, emit, uses)


def _update(target: Value, value: Value, emit: Emit, uses: _Uses) -> None:
    """One state: in place when nothing reads the old value any more, else by a copy."""
    home = emit.buffer(target)
    buffer = emit.buffer(value)
    root, offset = buffer.root()
    alone = root.bound is None and offset == 0 and root.nbytes == home.nbytes and root.device == home.device
    if alone and _may_write_at_once(root, home, emit.calls, uses):
        root.parent, root.offset = home, 0
        uses.join(root, home)
        return
    emit.turn_to(value.node if value.node.op else None)
    emit.copy(buffer, home)
    emit.turn_to(None)


def _may_write_at_once(root: Buffer, home: Buffer, calls: Sequence[Call], uses: _Uses) -> bool:
    """Whether the call that makes `root` may write to `home` instead: no later call, nor it itself, needs the old value."""
    writers = uses.writes[root]
    if len(writers) != 1:
        return False
    call = calls[writers[0]]
    for i, read in enumerate(call.reads):
        if read is not None and read.root()[0] is home and i not in call.inplace:
            return False
    return all(reader <= writers[0] for reader in uses.reads[home])
