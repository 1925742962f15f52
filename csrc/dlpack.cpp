// DLPack: arrays handed to and taken from other libraries without a copy. The structs are the protocol's: tensors
// without a version, and those of version 1, which can say that they may be written.
#include <cstdint>
#include <memory>
#include <type_traits>

#include "array.h"
#include "device.h"

namespace minimx {

namespace {

struct DLDevice {
  int32_t type;
  int32_t id;
};
struct DLDataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null means contiguous
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* manager;
  void (*deleter)(DLManagedTensor*);
};
struct DLVersioned {
  uint32_t major;
  uint32_t minor;
  void* manager;
  void (*deleter)(DLVersioned*);
  uint64_t flags;
  DLTensor tensor;
};

template <class Managed>
constexpr const char* kCapsule = "dltensor";
template <>
constexpr const char* kCapsule<DLVersioned> = "dltensor_versioned";
template <class Managed>
constexpr const char* kUsed = "used_dltensor";
template <>
constexpr const char* kUsed<DLVersioned> = "used_dltensor_versioned";

enum { kDLCPU = 1, kDLCUDA = 2, kDLCUDAHost = 3 };
enum { kDLInt = 0, kDLUInt = 1, kDLFloat = 2, kDLBfloat = 4, kDLBool = 6 };

struct Pair {
  int64_t dtype;
  DLDataType code;
};
constexpr Pair kTypes[] = {
    {kFloat32, {kDLFloat, 32, 1}}, {kFloat64, {kDLFloat, 64, 1}}, {kFloat16, {kDLFloat, 16, 1}},
    {kUint8, {kDLUInt, 8, 1}},     {kInt32, {kDLInt, 32, 1}},     {kInt8, {kDLInt, 8, 1}},
    {kInt64, {kDLInt, 64, 1}},     {kBool, {kDLBool, 8, 1}},      {kBFloat16, {kDLBfloat, 16, 1}},
};

DLDevice device_code(const Device& device) {
  return device.type == "gpu" ? DLDevice{kDLCUDA, device.id} : DLDevice{kDLCPU, 0};
}

// What a capsule of ours owns.
template <class Managed>
struct Exported {
  Managed managed{};
  StoragePtr storage;
  std::unique_ptr<int64_t[]> shape;
};

template <class Managed>
void delete_exported(Managed* managed) {
  delete static_cast<Exported<Managed>*>(managed->manager);
}

// A capsule nobody took still owns its tensor.
template <class Managed>
void drop_capsule(PyObject* capsule) {
  if (!PyCapsule_IsValid(capsule, kCapsule<Managed>)) return;
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, kCapsule<Managed>));
  if (managed && managed->deleter) managed->deleter(managed);
}

template <class Managed>
PyObject* export_array(const Array& array) {
  const auto ndim = static_cast<int32_t>(PyTuple_GET_SIZE(array.shape));
  auto made = std::make_unique<Exported<Managed>>();
  made->storage = array.storage;
  array.storage->lend();
  made->shape.reset(new int64_t[2 * ndim + 1]);
  int64_t* strides = made->shape.get() + ndim;
  for (int32_t i = 0; i < ndim; ++i) made->shape[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(array.shape, i));
  for (int32_t i = ndim - 1; i >= 0; --i) strides[i] = i + 1 < ndim ? strides[i + 1] * made->shape[i + 1] : 1;
  DLDataType code{};
  for (const Pair& pair : kTypes)
    if (pair.dtype == array.dtype) code = pair.code;
  Managed& managed = made->managed;
  managed.tensor = {array.data(), device_code(array.storage->device()), ndim, code, made->shape.get(), strides, 0};
  managed.manager = made.get();
  managed.deleter = delete_exported<Managed>;
  if constexpr (std::is_same_v<Managed, DLVersioned>) managed.major = 1;
  PyObject* capsule = PyCapsule_New(&managed, kCapsule<Managed>, drop_capsule<Managed>);
  if (capsule) made.release();  // NOLINT: the capsule owns it now
  return capsule;
}

// to_dlpack(array, whether the taker knows version 1)
PyObject* to_dlpack(PyObject*, PyObject* args) {
  PyObject* object = nullptr;
  int versioned = 0;
  if (!PyArg_ParseTuple(args, "O!p", array_type, &object, &versioned)) return nullptr;
  return versioned ? export_array<DLVersioned>(*as_array(object)) : export_array<DLManagedTensor>(*as_array(object));
}

PyObject* dlpack_device(PyObject*, PyObject* object) {
  if (!is_array(object)) {
    PyErr_SetString(PyExc_TypeError, "dlpack_device takes an NDArray");
    return nullptr;
  }
  const DLDevice code = device_code(as_array(object)->storage->device());
  return Py_BuildValue("(ii)", code.type, code.id);
}

bool contiguous(const DLTensor& tensor) {
  if (!tensor.strides) return true;
  int64_t step = 1;
  for (int32_t i = tensor.ndim - 1; i >= 0; --i) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != step) return false;
    step *= tensor.shape[i];
  }
  return true;
}

template <class Managed>
PyObject* import_capsule(PyObject* capsule, PyObject* context_of) {
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, kCapsule<Managed>));
  const DLTensor& tensor = managed->tensor;
  int64_t dtype = -1;
  for (const Pair& pair : kTypes)
    if (pair.code.code == tensor.dtype.code && pair.code.bits == tensor.dtype.bits && tensor.dtype.lanes == 1)
      dtype = pair.dtype;
  if (dtype < 0) {
    PyErr_Format(PyExc_ValueError, "from_dlpack: there is no dtype for DLPack type code %d with %d bits",
                 tensor.dtype.code, tensor.dtype.bits);
    return nullptr;
  }
  if (!contiguous(tensor)) {
    PyErr_SetString(PyExc_ValueError, "from_dlpack: the memory must be contiguous, row by row");
    return nullptr;
  }
  const bool host = tensor.device.type == kDLCPU || tensor.device.type == kDLCUDAHost;
  if (!host && tensor.device.type != kDLCUDA) {
    PyErr_Format(PyExc_ValueError, "from_dlpack: memory of DLPack device type %d cannot be used", tensor.device.type);
    return nullptr;
  }
  PyObject* context = PyObject_CallFunction(context_of, "si", host ? "cpu" : "gpu", host ? 0 : tensor.device.id);
  if (!context) return nullptr;
  PyObject* device = PyObject_GetAttrString(context, "device");
  PyObject* shape = device ? PyTuple_New(tensor.ndim) : nullptr;
  int64_t size = 1;
  for (int32_t i = 0; shape && i < tensor.ndim; ++i) {
    PyTuple_SET_ITEM(shape, i, PyLong_FromLongLong(tensor.shape[i]));
    size *= tensor.shape[i];
  }
  PyObject* result = nullptr;
  if (shape) {
    try {
      Device& home = bridge.unwrap_device(device);
      PyCapsule_SetName(capsule, kUsed<Managed>);
      std::shared_ptr<void> owner(managed, [](void* held) {
        auto* mine = static_cast<Managed*>(held);
        if (!mine->deleter) return;
        const PyGILState_STATE state = PyGILState_Ensure();  // the deleter may be Python's
        mine->deleter(mine);
        PyGILState_Release(state);
      });
      char* data = static_cast<char*>(tensor.data) + tensor.byte_offset;
      const auto bytes = static_cast<size_t>(size * item_size(dtype));
      auto storage = std::make_shared<Storage>(home, data, bytes, std::move(owner));
      result = make_array(std::move(storage), 0, shape, size, dtype, context);
    } catch (...) {
      bridge.raise();
    }
  }
  Py_XDECREF(shape);
  Py_XDECREF(device);
  Py_DECREF(context);
  return result;
}

// from_dlpack(capsule, context of (device type, id)): an array on the capsule's memory, which it now owns.
PyObject* from_dlpack(PyObject*, PyObject* args) {
  PyObject *capsule = nullptr, *context_of = nullptr;
  if (!PyArg_ParseTuple(args, "OO", &capsule, &context_of)) return nullptr;
  if (PyCapsule_IsValid(capsule, kCapsule<DLVersioned>)) return import_capsule<DLVersioned>(capsule, context_of);
  if (PyCapsule_IsValid(capsule, kCapsule<DLManagedTensor>))
    return import_capsule<DLManagedTensor>(capsule, context_of);
  PyErr_SetString(PyExc_ValueError, "from_dlpack takes a DLPack capsule that has not been used yet");
  return nullptr;
}

PyMethodDef functions[] = {
    {"to_dlpack", to_dlpack, METH_VARARGS, nullptr},
    {"dlpack_device", dlpack_device, METH_O, nullptr},
    {"from_dlpack", from_dlpack, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_dlpack(PyObject* module) { return PyModule_AddFunctions(module, functions) == 0; }

}  // namespace minimx
