// The array as Python holds it: a view of a storage with a shape, a dtype and a context. A C type, not a pybind11
// class, because making one is most of what a small eager operation costs.
#pragma once
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "storage.h"

namespace minimx {

struct Array {
  PyObject_HEAD;
  StoragePtr storage;
  int64_t offset;     // bytes into the storage
  int64_t size;       // elements
  int64_t dtype;      // DType
  PyObject* shape;    // tuple of int
  PyObject* context;  // minimx.Context
  PyObject* entry;    // what autograd knows about the array, or null

  char* data() const { return storage->data() + offset; }
};

// An array of NumPy's whose elements lie together.
struct HostView {
  const void* data;
  int dims;
  const Py_ssize_t* shape;
  char kind;  // of the elements, as NumPy names it
  int64_t item_bytes;
};

// What only bind.cpp can say, because it is the only file that knows pybind11.
struct Bridge {
  PyObject* (*wrap_storage)(const StoragePtr& storage);
  StoragePtr (*unwrap_storage)(PyObject* object);  // throws when the object is no Storage
  std::shared_ptr<class Program> (*unwrap_program)(PyObject* object);
  Device& (*unwrap_device)(PyObject* object);
  bool (*view_host)(PyObject* object, HostView* view);  // false when it is no such array
  void (*raise)();                                      // turns the C++ exception being handled into a Python error
};
extern Bridge bridge;

extern PyTypeObject* array_type;   // _core.Array
extern PyTypeObject* array_class;  // what new arrays are: the Python subclass, once it has announced itself

constexpr int64_t kHoldGil = 64 << 10;  // bytes touched up to which letting other threads in costs more than it gives

inline bool is_array(PyObject* object) { return PyObject_TypeCheck(object, array_type); }
inline Array* as_array(PyObject* object) { return reinterpret_cast<Array*>(object); }

int64_t item_size(int64_t dtype);
int64_t dtype_of(PyObject* name);        // of an interned or equal str; -1 with a Python error when there is none
PyObject* dtype_name(int64_t dtype);     // borrowed
int64_t element_count(PyObject* shape);  // -1 with a Python error unless a tuple of integers that are not negative

// A number as an element of the dtype, truncated towards zero for integers; at most 8 bytes.
void store_scalar(double value, int64_t dtype, char* at);

inline bool overlap(const Array& a, const Array& b) {
  return a.data() < b.data() + b.size * item_size(b.dtype) && b.data() < a.data() + a.size * item_size(a.dtype);
}

// A new reference; `shape` and `context` are borrowed.
PyObject* make_array(StoragePtr storage, int64_t offset, PyObject* shape, int64_t size, int64_t dtype,
                     PyObject* context);

// Adds the array type and the functions of array.cpp, dlpack.cpp, eager.cpp and feed.cpp to the module; false with a
// Python error.
bool add_arrays(PyObject* module);
bool add_dlpack(PyObject* module);
bool add_eager(PyObject* module);
bool add_feed(PyObject* module);

}  // namespace minimx
