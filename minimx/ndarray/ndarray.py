"""NDArray: an array on a device. A contiguous view of a storage; all arithmetic goes through operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from .. import _core
from ..base import MXNetError, ShapeError, bfloat16, dtype_name, numpy_dtype
from ..context import Context, cpu
from ..eager import call, invoke
from ..op import find, product
from . import indexing
from .convert import from_bfloat16, host_value, upload

# Methods that apply the operator of the same name to the array.
FORWARDED = """
    abs arccos arccosh arcsin arcsinh arctan arctanh argmax argmax_channel argmin argsort broadcast_axes broadcast_like
    broadcast_to cbrt ceil clip cos cosh degrees depth_to_space diag exp expm1 fix flip floor log log10 log1p log2
    log_softmax max mean min nanprod nansum norm one_hot ones_like pad pick prod radians rcbrt reciprocal relu repeat
    reshape_like rint round rsqrt shape_array sigmoid sign sin sinh size_array slice slice_axis slice_like softmax softmin
    sort space_to_depth split sqrt square sum swapaxes take tan tanh tile topk transpose trunc zeros_like
""".split()  # noqa: SIM905


_RESHAPED_LIMIT = 4096
_reshaped: dict[tuple, tuple[int, ...]] = {}  # (shape, target, reverse) -> new shape


def _arithmetic(array_op: str, scalar_op: str, in_place: bool = False, reverse: bool = False) -> Callable:
    """The method for `self <operator> other`, or with `reverse` for `other <operator> self`, when `other` is no NDArray."""
    binary, of_arrays, of_scalar = _core.binary, find(array_op), find(scalar_op)

    def method(self, other):
        result = binary(of_arrays, of_scalar, self if in_place else None, self, other)
        if result is NotImplemented and isinstance(other, (np.ndarray, np.generic)):
            other = _operand(other, self)
            if reverse and isinstance(other, NDArray):
                return binary(of_arrays, None, None, other, self)
            return method(self, other)
        return result

    return method


def _operand(other: np.ndarray | np.generic, like: NDArray) -> Any:
    """A NumPy operand as a number or an array beside `like`."""
    if other.ndim == 0:
        return float(other)
    return upload(host_value(other, like.dtype_name), like.context)


class NDArray(_core.Array):
    """A multi-dimensional array of fixed-size elements on a device."""

    __slots__ = ("__weakref__",)
    __array_priority__: ClassVar[float] = 1000.0  # NumPy leaves mixed arithmetic to us

    def __new__(cls, *memory: Any) -> NDArray:
        """An array on a storage (storage, offset, shape, dtype name, context), or without elements (nothing, or None)."""
        if memory and memory[0] is not None:
            return super().__new__(cls, *memory)
        return _core.empty((0,), "float32", cpu(), cpu().device)

    # ---- arithmetic -------------------------------------------------------------------------------------------------

    __add__ = __radd__ = _arithmetic("broadcast_add", "_plus_scalar")
    __sub__ = _arithmetic("broadcast_sub", "_minus_scalar")
    __rsub__ = _arithmetic("broadcast_sub", "_rminus_scalar", reverse=True)
    __mul__ = __rmul__ = _arithmetic("broadcast_mul", "_mul_scalar")
    __truediv__ = __div__ = _arithmetic("broadcast_div", "_div_scalar")
    __rtruediv__ = __rdiv__ = _arithmetic("broadcast_div", "_rdiv_scalar", reverse=True)
    __mod__ = _arithmetic("broadcast_mod", "_mod_scalar")
    __rmod__ = _arithmetic("broadcast_mod", "_rmod_scalar", reverse=True)
    __pow__ = _arithmetic("broadcast_power", "_power_scalar")
    __rpow__ = _arithmetic("broadcast_power", "_rpower_scalar", reverse=True)
    __iadd__ = _arithmetic("broadcast_add", "_plus_scalar", in_place=True)
    __isub__ = _arithmetic("broadcast_sub", "_minus_scalar", in_place=True)
    __imul__ = _arithmetic("broadcast_mul", "_mul_scalar", in_place=True)
    __itruediv__ = __idiv__ = _arithmetic("broadcast_div", "_div_scalar", in_place=True)
    __imod__ = _arithmetic("broadcast_mod", "_mod_scalar", in_place=True)
    __eq__ = _arithmetic("broadcast_equal", "_equal_scalar")
    __ne__ = _arithmetic("broadcast_not_equal", "_not_equal_scalar")
    __gt__ = _arithmetic("broadcast_greater", "_greater_scalar")
    __ge__ = _arithmetic("broadcast_greater_equal", "_greater_equal_scalar")
    __lt__ = _arithmetic("broadcast_lesser", "_lesser_scalar")
    __le__ = _arithmetic("broadcast_lesser_equal", "_lesser_equal_scalar")
    __hash__ = _core.Array.__hash__

    def __neg__(self) -> NDArray:
        return self * -1.0

    def __abs__(self) -> NDArray:
        return invoke("abs", [self])

    def __bool__(self) -> bool:
        if self.size > 1:
            raise ValueError("The truth value of an NDArray with multiple elements is ambiguous.")
        return self.size == 1 and bool(self.asnumpy().reshape(-1)[0])

    __nonzero__ = __bool__

    def __float__(self) -> float:
        return float(self.asscalar())

    def __int__(self) -> int:
        return int(self.asscalar())

    # ---- indexing ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("an array without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> NDArray:
        return indexing.get(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        indexing.put(self, key, value)

    def slice_assign(self, rhs: NDArray, begin: tuple, end: tuple, step: tuple) -> NDArray:
        """A copy of the array with `rhs` in the region from `begin` to `end`."""
        return invoke("_slice_assign", [self, rhs], {"begin": begin, "end": end, "step": step})

    def slice_assign_scalar(self, value: float, begin: tuple, end: tuple, step: tuple) -> NDArray:
        """A copy of the array with a number in the region from `begin` to `end`."""
        return invoke("_slice_assign_scalar", [self], {"scalar": value, "begin": begin, "end": end, "step": step})

    # ---- shape ------------------------------------------------------------------------------------------------------

    def reshape(self, *shape: Any, reverse: bool = False, **kwargs: Any) -> NDArray:
        """The same memory under another shape, which may use the codes 0, -1, -2, -3, -4 of the Reshape operator."""
        if not shape:
            if "shape" not in kwargs:
                raise TypeError("reshape() needs a shape")
            shape = (kwargs.pop("shape"),)
        if kwargs:
            raise TypeError(f"reshape() has no argument {next(iter(kwargs))!r}")
        target = tuple(shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)
        key = (self.shape, target, reverse)
        found = _reshaped.get(key)
        if found is None:
            if len(_reshaped) >= _RESHAPED_LIMIT:
                _reshaped.clear()
            found = _reshaped[key] = self._new_shape(target, reverse)
        result = _core.part(self, 0, found)
        if self.entry is not None and _core.is_recording():
            self._record("Reshape", {"shape": target, "reverse": reverse}, result)
        return result

    def _new_shape(self, target: tuple[int, ...], reverse: bool) -> tuple[int, ...]:
        if 0 in self.shape and all(n >= 0 for n in target):  # without elements 0 is a length, not a code
            found = target
        else:
            op = find("Reshape")
            params = op.parse({"shape": target, "reverse": reverse})
            found = op.infer_outputs(params, [(self.shape, self.dtype_name)], "reshape")[0][0]
        if product(found) != self.size:
            raise ShapeError(f"reshape: an array of shape {self.shape} cannot have the shape {target}")
        return tuple(map(int, found))

    def _record(self, name: str, given: dict[str, Any], result: NDArray) -> None:
        from ..tape import record

        op = find(name)
        record(op, op.parse(given), (self,), (result,))

    def flatten(self, inplace: bool = False) -> NDArray:
        if inplace:
            return self.reshape((0, -1) if self.ndim > 1 else (-1, 1))
        return invoke("Flatten", [self])

    def expand_dims(self, axis: int, inplace: bool = False) -> NDArray:
        if not inplace:
            return invoke("expand_dims", [self], {"axis": axis})
        if not -self.ndim - 1 <= axis <= self.ndim:
            raise ShapeError(f"expand_dims: axis {axis} is out of range for {self.ndim} dimensions")
        shape = list(self.shape)
        shape.insert(axis % (self.ndim + 1), 1)
        return self.reshape(shape)

    def split_v2(self, *args: Any, **kwargs: Any) -> Any:
        """mx.nd.split_v2"""
        from .creation import split_v2

        return split_v2(self, *args, **kwargs)

    def squeeze(self, axis: Any = None, inplace: bool = False) -> NDArray:
        if not inplace:
            return invoke("squeeze", [self], {} if axis is None else {"axis": axis})
        op = find("squeeze")
        given = {} if axis is None else {"axis": axis}
        result = _core.part(self, 0, tuple(op.output_shapes(op.parse(given), [self.shape])[0]))
        if self.entry is not None and _core.is_recording():
            self._record("squeeze", given, result)
        return result

    @property
    def T(self) -> NDArray:
        return invoke("transpose", [self])

    # ---- devices, dtypes, copies ------------------------------------------------------------------------------------

    def copyto(self, other: NDArray | Context) -> NDArray:
        """Copies into another array of the same shape, or into a new array on another device."""
        if isinstance(other, Context):
            target = _core.empty(self.shape, self.dtype_name, other, other.device)
        elif isinstance(other, NDArray):
            if other is self or (other.address == self.address and other.size == self.size):
                import warnings

                warnings.warn("copyto: source and target are the same array", RuntimeWarning, stacklevel=2)
                return other
            if other.shape != self.shape:
                raise ShapeError(f"copyto: the source has shape {self.shape}, the target {other.shape}")
            target = other
        else:
            raise TypeError(f"copyto does not support type {type(other)}")
        if target.dtype_name != self.dtype_name or _core.is_recording():
            target[...] = self
        else:
            _core.copy(target._storage, target._offset, self._storage, self._offset, self.nbytes)
        return target

    def copy(self) -> NDArray:
        if self.entry is not None and _core.is_recording():
            return invoke("_copy", [self])
        return self.copyto(self.context)

    def as_in_context(self, context: Context) -> NDArray:
        """The array itself when it is on that device already, else a copy there."""
        return self if context == self.context else self.copyto(context)

    as_in_ctx = as_in_context

    def astype(self, dtype: Any, copy: bool = True) -> NDArray:
        name = dtype_name(dtype)
        if name == self.dtype_name and not copy:
            return self
        return invoke("Cast", [self], {"dtype": name})

    def tostype(self, stype: str) -> NDArray:
        if stype != "default":
            raise MXNetError(f"arrays are dense here: storage type {stype!r} does not exist")
        return self

    @property
    def stype(self) -> str:
        return "default"

    @property
    def handle(self) -> int:
        """Address of the first element on the device."""
        return self.address

    @property
    def writable(self) -> bool:
        return True

    def as_nd_ndarray(self) -> NDArray:
        return self

    def as_np_ndarray(self) -> NDArray:
        raise MXNetError("the mx.np namespace is not part of minimx; use asnumpy()")

    def wait_to_read(self) -> None:
        """Waits until what the device still has to compute for the array is done."""
        self.context.device.wait()

    # ---- NumPy and Python -------------------------------------------------------------------------------------------

    def asnumpy(self) -> np.ndarray:
        """A NumPy copy."""
        result = np.empty(self.shape, numpy_dtype(self.dtype_name))
        _core.copy_out(self._storage, self._offset, result)
        return result

    def asnumpy_view(self) -> np.ndarray:
        """The memory of an array on the host as a NumPy array."""
        return _core.view(self._storage, self._offset, self.shape, numpy_dtype(self.dtype_name))

    def asscalar(self) -> Any:
        if self.size != 1:
            raise ValueError("The current array is not a scalar")
        value = self.asnumpy().reshape(1)
        return (from_bfloat16(value) if self.dtype_name == "bfloat16" else value)[0]

    def item(self) -> Any:
        return self.asscalar().item()

    def tolist(self) -> list:
        return self.asnumpy().tolist()

    def __repr__(self) -> str:
        values = self.asnumpy()
        if self.dtype_name == "bfloat16":
            values = from_bfloat16(values)
        shape = "x".join(map(str, self.shape))
        return f"\n{values}\n<{type(self).__name__} {shape} @{self.context}>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self.asnumpy() if copy or self.context.key[0] != "cpu" else self.asnumpy_view()
        return values if dtype is None else values.astype(dtype, copy=bool(copy))

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return _interface(self, "cpu", "only host memory of a NumPy dtype has an array interface")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        found = _interface(self, "gpu", "only gpu memory of a NumPy dtype has a CUDA array interface")
        return {**found, "stream": 1}

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        if dl_device is not None and tuple(dl_device) != self.__dlpack_device__():
            raise BufferError(f"the array is on DLPack device {self.__dlpack_device__()}, not {tuple(dl_device)}")
        self.wait_to_read()
        return _core.to_dlpack(self.copy() if copy else self, max_version is not None and max_version[0] >= 1)

    def __dlpack_device__(self) -> tuple[int, int]:
        return _core.dlpack_device(self)

    def to_dlpack_for_read(self) -> Any:
        """A DLPack capsule of the array's memory; whoever takes it must not write."""
        return self.__dlpack__()

    def to_dlpack_for_write(self) -> Any:
        """A DLPack capsule of the array's memory, to be written."""
        return self.__dlpack__()

    def __copy__(self) -> NDArray:
        return self.copy()

    def __deepcopy__(self, memo: dict) -> NDArray:
        return self.copyto(self.context)

    def __getstate__(self) -> dict[str, Any]:
        from ..serial import ArrayRecord, pack_array

        return {"handle": bytearray(pack_array(ArrayRecord(self.asnumpy(), self.dtype_name, self.context.key)))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from .utils import from_bytes

        _core.become(self, from_bytes(state["handle"]))

    def __reduce__(self) -> tuple:
        return NDArray, (None,), self.__getstate__()  # as MXNet's own arrays pickle, so that theirs load here

    # ---- autograd ---------------------------------------------------------------------------------------------------

    def attach_grad(self, grad_req: str = "write", stype: str | None = None) -> None:
        """Makes the array a variable of autograd with a gradient array of zeros; its history is forgotten."""
        from .. import autograd
        from .creation import zeros

        if stype not in (None, "default"):
            raise MXNetError(f"gradients are dense here: storage type {stype!r} does not exist")
        autograd.mark_variables([self], [zeros(self.shape, self.context, self.dtype)], grad_req)

    @property
    def grad(self) -> NDArray | None:
        """The array that receives the gradient, or None."""
        return getattr(self.entry.node, "grad", None) if self.entry is not None else None

    def detach(self) -> NDArray:
        """The same memory without history."""
        return _core.part(self, 0, self.shape)

    def backward(self, out_grad: Any = None, retain_graph: bool = False, train_mode: bool = True) -> None:
        """Gradients of the array with respect to every variable it was computed from."""
        from .. import autograd

        autograd.backward([self], None if out_grad is None else [out_grad], retain_graph, train_mode)


def _interface(array: NDArray, device: str, refusal: str) -> dict[str, Any]:
    """What NumPy and CUDA libraries read to share an array's memory."""
    if array.context.key[0] != device or array.dtype_name == "bfloat16":
        raise AttributeError(refusal)
    return {
        "version": 3,
        "shape": array.shape,
        "typestr": np.dtype(array.dtype).str,
        "data": (array.address, False),
        "strides": None,
    }


def _forward(name: str) -> Callable:
    def method(self, *args, **kwargs):
        if not args and not kwargs:
            return invoke(name, [self])
        return call(find(name), (self, *args), kwargs)

    method.__name__ = name
    method.__qualname__ = f"NDArray.{name}"
    method.__doc__ = f"`mx.nd.{name}` of the array."
    return method


for _name in FORWARDED:
    setattr(NDArray, _name, _forward(_name))

_VISIBLE = {
    name: np.dtype(name).type for name in ("float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool")
}
_core.set_array_class(NDArray, {**_VISIBLE, "bfloat16": bfloat16})
