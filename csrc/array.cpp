#include "array.h"

#include <cmath>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "args/copy.h"
#include "device.h"

namespace minimx {

Bridge bridge;
PyTypeObject* array_type = nullptr;
PyTypeObject* array_class = nullptr;

namespace {

struct TypeName {
  int64_t dtype;
  int64_t bytes;
  const char* text;
  PyObject* name;     // interned
  PyObject* visible;  // what `array.dtype` gives: a NumPy scalar type
};
TypeName type_names[] = {
    {kFloat32, 4, "float32", nullptr, nullptr},   {kFloat64, 8, "float64", nullptr, nullptr},
    {kFloat16, 2, "float16", nullptr, nullptr},   {kUint8, 1, "uint8", nullptr, nullptr},
    {kInt32, 4, "int32", nullptr, nullptr},       {kInt8, 1, "int8", nullptr, nullptr},
    {kInt64, 8, "int64", nullptr, nullptr},       {kBool, 1, "bool", nullptr, nullptr},
    {kBFloat16, 2, "bfloat16", nullptr, nullptr},
};

const TypeName& named(int64_t dtype) {
  for (const TypeName& t : type_names)
    if (t.dtype == dtype) return t;
  return type_names[0];
}

PyObject* made_of(PyTypeObject* type, StoragePtr storage, int64_t offset, PyObject* shape, int64_t size, int64_t dtype,
                  PyObject* context) {
  PyObject* made = type->tp_alloc(type, 0);
  if (!made) return nullptr;
  Array* array = as_array(made);
  new (&array->storage) StoragePtr(std::move(storage));
  array->offset = offset;
  array->size = size;
  array->dtype = dtype;
  array->shape = Py_NewRef(shape);
  array->context = Py_NewRef(context);
  array->entry = nullptr;
  return made;
}

PyObject* array_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject *storage = nullptr, *shape = nullptr, *name = nullptr, *context = nullptr;
  long long offset = 0;
  if (!PyArg_ParseTuple(args, "OLO!UO", &storage, &offset, &PyTuple_Type, &shape, &name, &context)) return nullptr;
  const int64_t dtype = dtype_of(name);
  const int64_t size = dtype < 0 ? -1 : element_count(shape);
  if (size < 0) return nullptr;
  try {
    StoragePtr memory = bridge.unwrap_storage(storage);
    if (offset < 0 || static_cast<size_t>(offset + size * item_size(dtype)) > memory->bytes()) {
      PyErr_SetString(PyExc_ValueError, "an array must lie inside its storage");
      return nullptr;
    }
    return made_of(type, std::move(memory), offset, shape, size, dtype, context);
  } catch (...) {
    bridge.raise();
    return nullptr;
  }
}

int array_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(as_array(self)->context);
  Py_VISIT(as_array(self)->entry);
  return 0;
}

int array_clear(PyObject* self) {
  Py_CLEAR(as_array(self)->entry);
  return 0;
}

void array_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  Array* array = as_array(self);
  Py_XDECREF(array->entry);
  Py_XDECREF(array->shape);
  Py_XDECREF(array->context);
  array->storage.~StoragePtr();
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* get_shape(PyObject* self, void*) { return Py_NewRef(as_array(self)->shape); }
PyObject* get_context(PyObject* self, void*) { return Py_NewRef(as_array(self)->context); }
PyObject* get_size(PyObject* self, void*) { return PyLong_FromLongLong(as_array(self)->size); }
PyObject* get_ndim(PyObject* self, void*) { return PyLong_FromSsize_t(PyTuple_GET_SIZE(as_array(self)->shape)); }
PyObject* get_offset(PyObject* self, void*) { return PyLong_FromLongLong(as_array(self)->offset); }
PyObject* get_dtype(PyObject* self, void*) {
  PyObject* visible = named(as_array(self)->dtype).visible;
  return Py_NewRef(visible ? visible : dtype_name(as_array(self)->dtype));
}
PyObject* get_dtype_name(PyObject* self, void*) { return Py_NewRef(dtype_name(as_array(self)->dtype)); }
PyObject* get_address(PyObject* self, void*) {
  as_array(self)->storage->lend();
  return PyLong_FromVoidPtr(as_array(self)->data());
}
PyObject* get_nbytes(PyObject* self, void*) {
  return PyLong_FromLongLong(as_array(self)->size * item_size(as_array(self)->dtype));
}
PyObject* get_storage(PyObject* self, void*) {
  try {
    return bridge.wrap_storage(as_array(self)->storage);
  } catch (...) {
    bridge.raise();
    return nullptr;
  }
}
PyObject* get_entry(PyObject* self, void*) {
  PyObject* entry = as_array(self)->entry;
  return Py_NewRef(entry ? entry : Py_None);
}
int set_entry(PyObject* self, PyObject* value, void*) {
  PyObject* fresh = value && value != Py_None ? Py_NewRef(value) : nullptr;
  Py_XSETREF(as_array(self)->entry, fresh);
  return 0;
}

PyGetSetDef array_properties[] = {
    {"shape", get_shape, nullptr, "Lengths of the axes.", nullptr},
    {"context", get_context, nullptr, "Where the array lives.", nullptr},
    {"ctx", get_context, nullptr, "Where the array lives.", nullptr},
    {"dtype", get_dtype, nullptr, "Element type, as a NumPy scalar type.", nullptr},
    {"dtype_name", get_dtype_name, nullptr, "Plain name of the element type.", nullptr},
    {"size", get_size, nullptr, "Number of elements.", nullptr},
    {"ndim", get_ndim, nullptr, "Number of axes.", nullptr},
    {"nbytes", get_nbytes, nullptr, "Bytes the elements occupy.", nullptr},
    {"_storage", get_storage, nullptr, "The memory the array is a view of.", nullptr},
    {"_offset", get_offset, nullptr, "Where in the storage the array begins, in bytes.", nullptr},
    {"address", get_address, nullptr, "Address of the first element on the device.", nullptr},
    {"entry", get_entry, set_entry, "What autograd knows about the array, or None.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// empty(shape, dtype name, context, device): an array with fresh memory from the device's pool.
PyObject* empty(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 4) {
    PyErr_SetString(PyExc_TypeError, "empty takes shape, dtype, context and device");
    return nullptr;
  }
  const int64_t dtype = dtype_of(args[1]);
  const int64_t size = dtype < 0 ? -1 : element_count(args[0]);
  if (size < 0) return nullptr;
  try {
    auto storage = std::make_shared<Storage>(bridge.unwrap_device(args[3]), size * item_size(dtype));
    return make_array(std::move(storage), 0, args[0], size, dtype, args[2]);
  } catch (...) {
    bridge.raise();
    return nullptr;
  }
}

// make(storage, offset, shape, dtype name, context): an array on memory that exists already.
PyObject* make(PyObject*, PyObject* args) { return array_new(array_class, args, nullptr); }

// become(array, other): from now on the first is another view of the second's memory, without history.
PyObject* become(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 2 || !is_array(args[0]) || !is_array(args[1])) {
    PyErr_SetString(PyExc_TypeError, "become takes two arrays");
    return nullptr;
  }
  Array* array = as_array(args[0]);
  const Array& other = *as_array(args[1]);
  array->storage = other.storage;
  array->offset = other.offset;
  array->size = other.size;
  array->dtype = other.dtype;
  Py_SETREF(array->shape, Py_NewRef(other.shape));
  Py_SETREF(array->context, Py_NewRef(other.context));
  Py_CLEAR(array->entry);
  Py_RETURN_NONE;
}

// part(array, elements to skip, shape): another view of the same memory.
PyObject* part(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 3 || !is_array(args[0])) {
    PyErr_SetString(PyExc_TypeError, "part takes an array, an offset in elements and a shape");
    return nullptr;
  }
  const Array* array = as_array(args[0]);
  const int64_t skip = PyLong_AsLongLong(args[1]);
  if (skip == -1 && PyErr_Occurred()) return nullptr;
  const int64_t size = element_count(args[2]);
  if (size < 0) return nullptr;
  if (skip < 0 || skip + size > array->size) {
    PyErr_SetString(PyExc_ValueError, "a part must lie inside its array");
    return nullptr;
  }
  return make_array(array->storage, array->offset + skip * item_size(array->dtype), args[2], size, array->dtype,
                    array->context);
}

// Runs one data-moving kernel of the device; lets other threads in when there is much to move.
bool run_kernel(const std::string& family, int64_t bytes_per_item, int64_t bytes, const void* args,
                void* const* buffers, Device& device) {
  const std::string name = family + "." + std::to_string(bytes_per_item);
  const KernelEntry* kernel = device.find(name);
  if (!kernel) {
    PyErr_Format(PyExc_RuntimeError, "device %s has no kernel %s", device.type.c_str(), name.c_str());
    return false;
  }
  PyThreadState* state = bytes > kHoldGil ? PyEval_SaveThread() : nullptr;
  kernel->run(args, buffers, device.context);
  if (state) PyEval_RestoreThread(state);
  return true;
}

// fill(array, number): every element becomes the number.
PyObject* fill(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 2 || !is_array(args[0])) {
    PyErr_SetString(PyExc_TypeError, "fill takes an array and a number");
    return nullptr;
  }
  const Array& array = *as_array(args[0]);
  int64_t bits = 0;
  if (array.dtype == kInt64 && PyLong_Check(args[1])) {  // a double would not hold all of them
    bits = PyLong_AsLongLong(args[1]);
  } else {
    store_scalar(PyFloat_AsDouble(args[1]), array.dtype, reinterpret_cast<char*>(&bits));
  }
  if (PyErr_Occurred()) return nullptr;
  const FillArgs fill_args{array.size, bits};
  array.storage->touch();
  void* buffers[] = {array.data()};
  const int64_t item = item_size(array.dtype);
  if (array.size > 0 && !run_kernel("fill", item, array.size * item, &fill_args, buffers, array.storage->device()))
    return nullptr;
  Py_RETURN_NONE;
}

bool read_numbers(PyObject* tuple, std::vector<int64_t>* numbers) {
  if (!PyTuple_Check(tuple)) {
    PyErr_SetString(PyExc_TypeError, "a shape or strides must be a tuple");
    return false;
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); ++i)
    numbers->push_back(PyLong_AsLongLong(PyTuple_GET_ITEM(tuple, i)));
  return !PyErr_Occurred();
}

// strided_copy(source, offset, strides, target, offset, strides, shape), all in elements: see args/copy.h.
PyObject* strided_copy(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 7 || !is_array(args[0]) || !is_array(args[3])) {
    PyErr_SetString(PyExc_TypeError, "strided_copy takes two arrays, each with offset and strides, and a shape");
    return nullptr;
  }
  const Array& source = *as_array(args[0]);
  const Array& target = *as_array(args[3]);
  std::vector<int64_t> from, to, shape;
  const int64_t from_offset = PyLong_AsLongLong(args[1]), to_offset = PyLong_AsLongLong(args[4]);
  if (PyErr_Occurred()) return nullptr;
  if (!read_numbers(args[2], &from) || !read_numbers(args[5], &to) || !read_numbers(args[6], &shape)) return nullptr;
  if (from.size() != shape.size() || to.size() != shape.size() || source.dtype != target.dtype ||
      &source.storage->device() != &target.storage->device()) {
    PyErr_SetString(PyExc_ValueError, "strided_copy: strides, dtypes or devices do not go together");
    return nullptr;
  }
  int64_t elements = 1;
  for (const int64_t n : shape) elements *= n;
  if (elements == 0) Py_RETURN_NONE;
  const auto view = [](const std::vector<int64_t>& v) { return Ints{v.data(), static_cast<int64_t>(v.size())}; };
  const StridedCopyArgs copy_args{view(shape), view(from), view(to), from_offset, to_offset};
  target.storage->touch();
  void* buffers[] = {source.data(), target.data()};
  const int64_t item = item_size(target.dtype);
  if (!run_kernel("strided_copy", item, elements * item, &copy_args, buffers, target.storage->device())) return nullptr;
  Py_RETURN_NONE;
}

// overlaps(array, *others): whether it shares memory with one of them.
PyObject* overlaps(PyObject*, PyObject* const* args, Py_ssize_t count) {
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (!is_array(args[i])) {
      PyErr_SetString(PyExc_TypeError, "overlaps takes arrays");
      return nullptr;
    }
    if (i > 0 && overlap(*as_array(args[0]), *as_array(args[i]))) Py_RETURN_TRUE;
  }
  Py_RETURN_FALSE;
}

// set_array_class(class, {dtype name: what array.dtype gives})
PyObject* set_array_class(PyObject*, PyObject* args) {
  PyObject *type = nullptr, *visible = nullptr;
  if (!PyArg_ParseTuple(args, "O!O!", &PyType_Type, &type, &PyDict_Type, &visible)) return nullptr;
  array_class = reinterpret_cast<PyTypeObject*>(Py_NewRef(type));
  for (TypeName& t : type_names) {
    PyObject* found = PyDict_GetItem(visible, t.name);
    if (found) Py_XSETREF(t.visible, Py_NewRef(found));
  }
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"empty", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(empty)), METH_FASTCALL, nullptr},
    {"part", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(part)), METH_FASTCALL, nullptr},
    {"fill", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(fill)), METH_FASTCALL, nullptr},
    {"strided_copy", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(strided_copy)), METH_FASTCALL, nullptr},
    {"overlaps", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(overlaps)), METH_FASTCALL, nullptr},
    {"become", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(become)), METH_FASTCALL, nullptr},
    {"make", make, METH_VARARGS, nullptr},
    {"set_array_class", set_array_class, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot array_slots[] = {
    {Py_tp_doc, const_cast<char*>("A view of a storage: shape, dtype, context.")},
    {Py_tp_new, reinterpret_cast<void*>(array_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(array_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(array_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(array_clear)},
    {Py_tp_getset, array_properties},
    {0, nullptr},
};
PyType_Spec array_spec = {"minimx._core.Array", sizeof(Array), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, array_slots};

}  // namespace

int64_t item_size(int64_t dtype) { return named(dtype).bytes; }

PyObject* dtype_name(int64_t dtype) { return named(dtype).name; }

int64_t dtype_of(PyObject* name) {
  for (const TypeName& t : type_names)
    if (t.name == name) return t.dtype;
  if (PyUnicode_Check(name))
    for (const TypeName& t : type_names)
      if (PyUnicode_CompareWithASCIIString(name, t.text) == 0) return t.dtype;
  PyErr_Format(PyExc_ValueError, "%R is not the name of a dtype", name);
  return -1;
}

int64_t element_count(PyObject* shape) {
  if (!PyTuple_Check(shape)) {
    PyErr_SetString(PyExc_TypeError, "a shape must be a tuple");
    return -1;
  }
  int64_t size = 1;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(shape); ++i) {
    const int64_t n = PyLong_AsLongLong(PyTuple_GET_ITEM(shape, i));
    if (n == -1 && PyErr_Occurred()) return -1;
    if (n < 0 || __builtin_mul_overflow(size, n, &size) || size > (INT64_MAX >> 3)) {
      PyErr_Format(PyExc_ValueError, "%R is not the shape of an array", shape);
      return -1;
    }
  }
  return size;
}

void store_scalar(double value, int64_t dtype, char* at) {
  const auto integer = [&]() -> int64_t { return std::abs(value) < 9.2e18 ? static_cast<int64_t>(value) : 0; };
  const auto put = [&](auto converted) { std::memcpy(at, &converted, sizeof converted); };
  switch (dtype) {
    case kFloat32:
      put(static_cast<float>(value));
      break;
    case kFloat64:
      put(value);
      break;
    case kFloat16:
      if (PyFloat_Pack2(value, at, 1) < 0) {  // too large for the format
        PyErr_Clear();
        put(static_cast<uint16_t>(value < 0 ? 0xfc00 : 0x7c00));
      }
      break;
    case kBFloat16: {
      const float single = static_cast<float>(value);
      uint32_t bits;
      std::memcpy(&bits, &single, sizeof bits);
      if (!std::isnan(single)) bits += 0x7fff + (bits >> 16 & 1);
      put(static_cast<uint16_t>(bits >> 16 | (std::isnan(single) ? 0x40 : 0)));
      break;
    }
    case kUint8:
      put(static_cast<uint8_t>(integer()));
      break;
    case kInt8:
      put(static_cast<int8_t>(integer()));
      break;
    case kInt32:
      put(static_cast<int32_t>(integer()));
      break;
    case kInt64:
      put(integer());
      break;
    case kBool:
      put(static_cast<uint8_t>(value != 0));
      break;
  }
}

PyObject* make_array(StoragePtr storage, int64_t offset, PyObject* shape, int64_t size, int64_t dtype,
                     PyObject* context) {
  return made_of(array_class, std::move(storage), offset, shape, size, dtype, context);
}

bool add_arrays(PyObject* module) {
  for (TypeName& t : type_names) {
    t.name = PyUnicode_InternFromString(t.text);
    if (!t.name) return false;
  }
  PyObject* type = PyType_FromSpec(&array_spec);
  if (!type) return false;
  array_type = array_class = reinterpret_cast<PyTypeObject*>(type);
  return PyModule_AddFunctions(module, functions) == 0 && PyModule_AddObjectRef(module, "Array", type) == 0;
}

}  // namespace minimx
