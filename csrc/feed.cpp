// A step of a program: what Python gives is copied into the program's arrays and the calls run, in one crossing.
#include <cstring>
#include <vector>

#include "array.h"
#include "device.h"
#include "program.h"

namespace minimx {

namespace {

// What NumPy calls the kind of an element type; 0 for those it does not have.
char kind_of(int64_t dtype) {
  switch (dtype) {
    case kFloat32:
    case kFloat64:
    case kFloat16:
      return 'f';
    case kInt8:
    case kInt32:
    case kInt64:
      return 'i';
    case kUint8:
      return 'u';
    case kBool:
      return 'b';
    default:
      return 0;
  }
}

// The same in a buffer's format.
char format_of(int64_t dtype) {
  switch (dtype) {
    case kFloat32:
      return 'f';
    case kFloat64:
      return 'd';
    case kFloat16:
      return 'e';
    case kUint8:
      return 'B';
    case kInt8:
      return 'b';
    case kInt32:
      return 'i';
    case kInt64:
      return 'l';
    case kBool:
      return '?';
    default:
      return 0;
  }
}

bool is_shape(PyObject* shape, int dims, const Py_ssize_t* sizes) {
  if (dims != PyTuple_GET_SIZE(shape)) return false;
  for (int i = 0; i < dims; ++i)
    if (PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, i)) != sizes[i]) return false;
  return true;
}

// The copies of one step. Owns what it reads from until they are made.
class Feeds {
 public:
  explicit Feeds(size_t count) {
    copies_.reserve(count);
    buffers_.reserve(count);
    held_.reserve(count);
  }
  ~Feeds() {
    for (PyObject* array : held_) Py_DECREF(array);
    for (Py_buffer& buffer : buffers_) PyBuffer_Release(&buffer);
  }

  // False where bytes cannot simply be copied: another shape or type, no memory of the host's.
  bool add(const Array& target, PyObject* value) {
    if (target.storage->device().type != "cpu") return false;
    if (is_array(value)) {
      const Array& from = *as_array(value);
      if (from.dtype != target.dtype || from.storage->device().type != "cpu") return false;
      if (PyObject_RichCompareBool(from.shape, target.shape, Py_EQ) != 1) return false;
      add(target, from.data(), from.storage);
      return true;
    }
    if (HostView view; bridge.view_host(value, &view)) {  // asking NumPy for a buffer takes five times as long
      if (view.kind != kind_of(target.dtype) || view.item_bytes != item_size(target.dtype)) return false;
      if (!is_shape(target.shape, view.dims, view.shape)) return false;
      Py_INCREF(value);
      held_.push_back(value);
      add(target, view.data, nullptr);
      return true;
    }
    if (!PyObject_CheckBuffer(value)) return false;
    Py_buffer buffer;
    if (PyObject_GetBuffer(value, &buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) {
      PyErr_Clear();
      return false;
    }
    buffers_.push_back(buffer);
    const char wanted = format_of(target.dtype);
    if (!buffer.format || buffer.format[0] != wanted || buffer.format[1] ||
        !is_shape(target.shape, buffer.ndim, buffer.shape))
      return false;
    add(target, buffer.buf, nullptr);
    return true;
  }

  void copy() const {
    for (const Copy& one : copies_) {
      std::memmove(one.to, one.from, one.bytes);
      one.target->touch();
    }
  }

 private:
  struct Copy {
    StoragePtr target, source;  // held: other threads may let go of the arrays meanwhile
    char* to;
    const void* from;
    size_t bytes;
  };
  void add(const Array& target, const void* from, StoragePtr source) {
    const auto bytes = static_cast<size_t>(target.size * item_size(target.dtype));
    copies_.push_back({target.storage, std::move(source), target.data(), from, bytes});
  }

  std::vector<Copy> copies_;
  std::vector<Py_buffer> buffers_;
  std::vector<PyObject*> held_;
};

// step(program, first, last, arrays, feeds): copies the feeds, by name, and runs the calls. When some cannot be copied
// just so, a list of their names comes back and no call has run.
PyObject* step(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 5 || !PyDict_Check(args[3]) || !PyDict_Check(args[4])) {
    PyErr_SetString(PyExc_TypeError,
                    "step takes a program, its first and last call, a dict of arrays and one of feeds");
    return nullptr;
  }
  const int first = static_cast<int>(PyLong_AsLong(args[1])), last = static_cast<int>(PyLong_AsLong(args[2]));
  if (PyErr_Occurred()) return nullptr;
  PyObject* rest = nullptr;
  try {
    const std::shared_ptr<Program> program = bridge.unwrap_program(args[0]);
    Feeds feeds(static_cast<size_t>(PyDict_GET_SIZE(args[4])));
    PyObject *name, *value;
    for (Py_ssize_t at = 0; PyDict_Next(args[4], &at, &name, &value);) {
      PyObject* target = PyDict_GetItem(args[3], name);
      if (target && is_array(target) && feeds.add(*as_array(target), value)) continue;
      if (!rest && !(rest = PyList_New(0))) return nullptr;
      if (PyList_Append(rest, name) != 0) {
        Py_DECREF(rest);
        return nullptr;
      }
    }
    PyThreadState* state = PyEval_SaveThread();
    try {
      feeds.copy();
      if (!rest) program->run(first, last);
    } catch (...) {
      PyEval_RestoreThread(state);
      throw;
    }
    PyEval_RestoreThread(state);
  } catch (...) {
    Py_XDECREF(rest);
    bridge.raise();
    return nullptr;
  }
  if (rest) return rest;
  Py_RETURN_NONE;
}

// count_up(counts, keys, begin, most): adds one to every key's count in a dict, where a key that is not there stands at
// `begin`, and returns the largest of these counts and `most`. Optimizers count their updates so, in every step.
PyObject* count_up(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 4 || !PyDict_Check(args[0]) || !(PyList_Check(args[1]) || PyTuple_Check(args[1]))) {
    PyErr_SetString(PyExc_TypeError, "count_up takes a dict, a list of keys, the first count and the largest so far");
    return nullptr;
  }
  const long long begin = PyLong_AsLongLong(args[2]);
  long long most = PyLong_AsLongLong(args[3]);
  if (PyErr_Occurred()) return nullptr;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(args[1]); ++i) {
    PyObject* key = PySequence_Fast_GET_ITEM(args[1], i);
    Py_INCREF(key);  // its own comparison might take it from the list
    PyObject* before = PyDict_GetItemWithError(args[0], key);
    const long long now = (before ? PyLong_AsLongLong(before) : begin) + 1;
    PyObject* number = PyErr_Occurred() ? nullptr : PyLong_FromLongLong(now);
    const bool kept = number && PyDict_SetItem(args[0], key, number) == 0;
    Py_XDECREF(number);
    Py_DECREF(key);
    if (!kept) return nullptr;
    if (now > most) most = now;
  }
  return PyLong_FromLongLong(most);
}

PyMethodDef functions[] = {
    {"count_up", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(count_up)), METH_FASTCALL, nullptr},
    {"step", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(step)), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_feed(PyObject* module) { return PyModule_AddFunctions(module, functions) == 0; }

}  // namespace minimx
