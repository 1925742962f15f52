// Operators applied at once: the program is found in the cache and run on fresh outputs, all in one crossing from
// Python. Programs are compiled by Python when they are first needed.
#include <string>
#include <vector>

#include "array.h"
#include "device.h"
#include "plans.h"

namespace minimx {

namespace {

thread_local bool recording = false;
thread_local bool training = false;

// What Python provides: see `connect` below.
struct {
  PyObject* compile = nullptr;
  PyObject* compile_steered = nullptr;
  PyObject* compile_scalar = nullptr;
  PyObject* parse_scalar = nullptr;
  PyObject* record = nullptr;
  PyObject* current_context = nullptr;
  PyObject* error = nullptr;
} python;

constexpr size_t kMaxOperands = 64;  // more go the slow way, through a vector

PyObject* fail(PyObject* op, const std::string& text) {
  PyObject* name = PyObject_GetAttrString(op, "name");
  if (!name) return nullptr;
  PyErr_Format(python.error, "%U: %s", name, text.c_str());
  Py_DECREF(name);
  return nullptr;
}

std::string context_text(PyObject* context) {
  PyObject* text = PyObject_Str(context);
  std::string result = text ? PyUnicode_AsUTF8(text) : "?";
  Py_XDECREF(text);
  return result;
}

bool same_extent(const Array& a, const Array& b) {
  return a.data() == b.data() && a.size == b.size && item_size(a.dtype) == item_size(b.dtype);
}

// The arrays a call writes; owns references.
struct Outputs {
  std::vector<PyObject*> arrays;
  std::vector<std::pair<size_t, PyObject*>> copies;  // output number -> the array that gets it afterwards
  ~Outputs() {
    for (PyObject* array : arrays) Py_XDECREF(array);
  }
};

// Checks what the caller gave to write into; false with a Python error.
bool check_out(PyObject* op, const Plan& plan, PyObject* const* given, size_t count, Device& device) {
  if (count != static_cast<size_t>(plan.visible)) {
    fail(op, "gives " + std::to_string(plan.visible) + " outputs, but out holds " + std::to_string(count) + " arrays");
    return false;
  }
  for (size_t i = 0; i < count; ++i) {
    if (!is_array(given[i])) {
      fail(op, std::string("out must be an NDArray, got ") + Py_TYPE(given[i])->tp_name);
      return false;
    }
    const Array& array = *as_array(given[i]);
    const OutputType& type = plan.outputs[i];
    const int same = PyObject_RichCompareBool(array.shape, type.shape, Py_EQ);
    if (same < 0) return false;
    if (!same || array.dtype != type.dtype) {
      PyObject* name = PyObject_GetAttrString(op, "name");
      if (name)
        PyErr_Format(python.error, "%U: output %zu is %U%R, but out is %U%R", name, i, dtype_name(type.dtype),
                     type.shape, dtype_name(array.dtype), array.shape);
      Py_XDECREF(name);
      return false;
    }
    if (&array.storage->device() != &device) {
      fail(op, "the inputs are on another device than out, which is on " + context_text(array.context));
      return false;
    }
    if (recording && array.entry) {
      fail(op,
           "writing in place (+=, x[:] =, out=) into an array that autograd is recording is not possible; make a new "
           "array "
           "or leave autograd.record()");
      return false;
    }
  }
  return true;
}

void run_program(const Program& program, void* const* operands, size_t count, bool release_gil) {
  struct Released {
    PyThreadState* state;
    explicit Released(bool wanted) : state(wanted ? PyEval_SaveThread() : nullptr) {}
    ~Released() {
      if (state) PyEval_RestoreThread(state);
    }
  } released(release_gil);
  program.run_with(operands, static_cast<int64_t>(count));
}

constexpr size_t kNumberBytes = 8;

// The arrays the program writes: those given where that is safe, fresh ones elsewhere; false with a Python error.
bool make_outputs(const Plan& plan, PyObject* const* inputs, size_t count, PyObject* const* given, size_t given_count,
                  Device& device, PyObject* context, Outputs* outputs) {
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    const OutputType& type = plan.outputs[i];
    if (i < given_count) {
      const Array& target = *as_array(given[i]);
      bool direct = true;
      for (size_t k = 0; k < count; ++k) {
        const Array& input = *as_array(inputs[k]);
        if (overlap(target, input)) {
          const bool allowed = i == 0 && k < 64 && (plan.in_place >> k & 1);
          direct = direct && allowed && same_extent(target, input);
        }
      }
      if (direct) {
        outputs->arrays.push_back(Py_NewRef(given[i]));
        continue;
      }
      outputs->copies.emplace_back(i, given[i]);
    }
    auto storage = std::make_shared<Storage>(device, type.size * item_size(type.dtype));
    PyObject* array = make_array(std::move(storage), 0, type.shape, type.size, type.dtype, context);
    if (!array) return false;
    outputs->arrays.push_back(array);
  }
  return true;
}

// Tells the tape about a call when one of its inputs has history; false with a Python error.
bool record(PyObject* op, PyObject* params, PyObject* const* inputs, size_t count, const Outputs& outputs) {
  bool wanted = false;
  for (size_t k = 0; k < count; ++k) wanted = wanted || as_array(inputs[k])->entry;
  if (!wanted) return true;
  const Owned ins(PyTuple_New(static_cast<Py_ssize_t>(count)));
  const Owned outs(PyTuple_New(static_cast<Py_ssize_t>(outputs.arrays.size())));
  if (!ins.object || !outs.object) return false;
  for (size_t k = 0; k < count; ++k) PyTuple_SET_ITEM(ins.object, static_cast<Py_ssize_t>(k), Py_NewRef(inputs[k]));
  for (size_t k = 0; k < outputs.arrays.size(); ++k)
    PyTuple_SET_ITEM(outs.object, static_cast<Py_ssize_t>(k), Py_NewRef(outputs.arrays[k]));
  const Owned done(PyObject_CallFunctionObjArgs(python.record, op, params, ins.object, outs.object, nullptr));
  return done.object != nullptr;
}

// Runs the plan on the inputs (and `numbers`, each in kNumberBytes), into `out` or fresh arrays. Returns what the user
// gets.
PyObject* execute(PyObject* op, PyObject* params, const PlanPtr& plan, PyObject* const* inputs, size_t count,
                  const char* numbers, size_t number_count, Device& device, PyObject* context, PyObject* out,
                  bool hidden) {
  Outputs outputs;
  PyObject* const* given = nullptr;
  size_t given_count = 0;
  if (out != Py_None) {
    if (PyList_Check(out) || PyTuple_Check(out)) {
      given = PySequence_Fast_ITEMS(out);
      given_count = static_cast<size_t>(PySequence_Fast_GET_SIZE(out));
    } else {
      given = &out;
      given_count = 1;
    }
    if (!check_out(op, *plan, given, given_count, device)) return nullptr;
  }
  if (!make_outputs(*plan, inputs, count, given, given_count, device, context, &outputs)) return nullptr;
  if (!plan->idle) {
    void* few[kMaxOperands];
    std::vector<void*> many;
    const size_t total = count + plan->outputs.size() + number_count;
    void** operands = few;
    if (total > kMaxOperands) {
      many.resize(total);
      operands = many.data();
    }
    size_t n = 0;
    for (size_t k = 0; k <= count; ++k) {
      if (k == static_cast<size_t>(plan->numbers_at))
        for (size_t i = 0; i < number_count; ++i) operands[n++] = const_cast<char*>(numbers + i * kNumberBytes);
      if (k < count) operands[n++] = as_array(inputs[k])->data();
    }
    for (PyObject* array : outputs.arrays) {
      operands[n++] = as_array(array)->data();
      as_array(array)->storage->touch();
    }
    for (const auto& [i, target] : outputs.copies) as_array(target)->storage->touch();
    if (plan->program->writes_first(static_cast<int64_t>(count + number_count)))  // an operator that changes its inputs
      for (size_t k = 0; k < count; ++k) as_array(inputs[k])->storage->touch();
    run_program(*plan->program, operands, n, plan->release_gil);
    for (const auto& [i, target] : outputs.copies)
      copy_bytes(device, as_array(target)->data(), device, as_array(outputs.arrays[i])->data(),
                 static_cast<size_t>(plan->outputs[i].size * item_size(plan->outputs[i].dtype)));
  }
  for (const auto& [i, target] : outputs.copies) Py_SETREF(outputs.arrays[i], Py_NewRef(target));

  if (recording && !record(op, params, inputs, count, outputs)) return nullptr;
  if (out != Py_None) return Py_NewRef(out);
  if (hidden) {
    PyObject* all = PyTuple_New(static_cast<Py_ssize_t>(outputs.arrays.size()));
    for (size_t i = 0; all && i < outputs.arrays.size(); ++i)
      PyTuple_SET_ITEM(all, static_cast<Py_ssize_t>(i), Py_NewRef(outputs.arrays[i]));
    return all;
  }
  if (plan->visible == 1) return Py_NewRef(outputs.arrays[0]);
  PyObject* list = PyList_New(plan->visible);
  for (int64_t i = 0; list && i < plan->visible; ++i) PyList_SET_ITEM(list, i, Py_NewRef(outputs.arrays[i]));
  return list;
}

// All inputs must live on one device, which is returned; null with a Python error.
Device* common_device(PyObject* op, PyObject* const* inputs, size_t count) {
  Device* device = nullptr;
  for (size_t i = 0; i < count; ++i) {
    if (!is_array(inputs[i])) {
      fail(op, "input " + std::to_string(i) + " must be an NDArray, got " + Py_TYPE(inputs[i])->tp_name);
      return nullptr;
    }
    Device& mine = as_array(inputs[i])->storage->device();
    if (device && device != &mine) {
      fail(op, "the inputs are on different devices: input 0 on " + context_text(as_array(inputs[0])->context) +
                   ", input " + std::to_string(i) + " on " + context_text(as_array(inputs[i])->context));
      return nullptr;
    }
    device = &mine;
  }
  return device;
}

// Adds operator, parameters, device, mode and the types of the inputs; false with a Python error.
enum Mode : int64_t { kInference = 0, kTraining = 1, kSteered = 2 };
bool describe(Key* key, PyObject* op, PyObject* params, const Device* device, int64_t mode, PyObject* const* inputs,
              size_t count) {
  const Py_hash_t hash = PyObject_Hash(params);
  if (hash == -1 && PyErr_Occurred()) return false;
  key->add(reinterpret_cast<intptr_t>(op));
  key->add(hash);
  key->add(reinterpret_cast<intptr_t>(device) | mode);
  for (size_t i = 0; i < count; ++i) key->add(*as_array(inputs[i]));
  return true;
}

PyObject* run_operator(PyObject* op, PyObject* params, PyObject* context, PyObject* out, PyObject* const* inputs,
                       size_t count, bool hidden = false) {
  Device* device = nullptr;
  Owned current(nullptr);
  if (count > 0) {
    device = common_device(op, inputs, count);
    if (!device) return nullptr;
    context = as_array(inputs[0])->context;
  } else {
    if (context == Py_None) {
      current.object = PyObject_CallNoArgs(python.current_context);
      if (!current.object) return nullptr;
      context = current.object;
    }
    const Owned found(PyObject_GetAttrString(context, "device"));
    if (!found.object) return nullptr;
    device = &bridge.unwrap_device(found.object);
  }
  Key key;
  if (!describe(&key, op, params, device, training ? kTraining : kInference, inputs, count)) return nullptr;
  const PlanPtr plan = plan_for(key, params, inputs, count, [&](PyObject* types) {
    return PyObject_CallFunction(python.compile, "OOOOO", op, params, types, context, training ? Py_True : Py_False);
  });
  if (!plan) return nullptr;
  return execute(op, params, plan, inputs, count, nullptr, 0, *device, context, out, hidden);
}

// An operator of an array and a number: the number is an operand where that can be, else a parameter.
PyObject* run_scalar(PyObject* op, PyObject* scalar, PyObject* out, PyObject* input) {
  const double value = PyFloat_AsDouble(scalar);
  if (value == -1.0 && PyErr_Occurred()) return nullptr;
  Device* device = common_device(op, &input, 1);
  if (!device) return nullptr;
  const Array& array = *as_array(input);
  Key key;
  if (!describe(&key, op, Py_None, device, kSteered, &input, 1)) return nullptr;
  const PlanPtr plan = plan_for(key, Py_None, &input, 1, [&](PyObject* types) {
    return PyObject_CallFunction(python.compile_scalar, "OOO", op, types, array.context);
  });
  if (!plan) return nullptr;
  if (plan->program) {
    alignas(kNumberBytes) char bytes[kNumberBytes];
    store_scalar(value, array.dtype, bytes);
    return execute(op, scalar, plan, &input, 1, bytes, 1, *device, array.context, out, false);
  }
  const Owned params(PyObject_CallFunctionObjArgs(python.parse_scalar, op, scalar, nullptr));
  return params.object ? run_operator(op, params.object, Py_None, out, &input, 1) : nullptr;
}

// An operator whose steered parameters come as numbers beside the rest of the parameters.
PyObject* run_steered(PyObject* op, PyObject* params, PyObject* numbers, PyObject* out, PyObject* const* inputs,
                      size_t count) {
  constexpr Py_ssize_t kMost = 8;
  if (!PyTuple_Check(numbers) || PyTuple_GET_SIZE(numbers) > kMost || count == 0) {
    PyErr_SetString(PyExc_TypeError, "invoke_steered takes a tuple of at most 8 numbers, and inputs");
    return nullptr;
  }
  Device* device = common_device(op, inputs, count);
  if (!device) return nullptr;
  const Array& first = *as_array(inputs[0]);
  const auto number_count = static_cast<size_t>(PyTuple_GET_SIZE(numbers));
  alignas(kNumberBytes) char bytes[kMost * kNumberBytes];
  for (size_t i = 0; i < number_count; ++i)
    store_scalar(PyFloat_AsDouble(PyTuple_GET_ITEM(numbers, static_cast<Py_ssize_t>(i))), first.dtype,
                 bytes + i * kNumberBytes);
  if (PyErr_Occurred()) return nullptr;
  Key key;
  if (!describe(&key, op, params, device, kSteered | (training ? kTraining : kInference), inputs, count))
    return nullptr;
  const PlanPtr plan = plan_for(key, params, inputs, count, [&](PyObject* types) {
    return PyObject_CallFunction(python.compile_steered, "OOOOO", op, params, types, first.context,
                                 training ? Py_True : Py_False);
  });
  if (!plan) return nullptr;
  return execute(op, params, plan, inputs, count, bytes, number_count, *device, first.context, out, false);
}

// invoke(op, params, context or None, out or None, *inputs)
PyObject* invoke(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count < 4) {
    PyErr_SetString(PyExc_TypeError, "invoke takes an operator, its parameters, a context, out and the inputs");
    return nullptr;
  }
  try {
    return run_operator(args[0], args[1], args[2], args[3], args + 4, static_cast<size_t>(count - 4));
  } catch (...) {
    bridge.raise();
    return nullptr;
  }
}

// invoke_all(op, params, context or None, *inputs): a tuple of all outputs, those a user does not see included.
PyObject* invoke_all(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count < 3) {
    PyErr_SetString(PyExc_TypeError, "invoke_all takes an operator, its parameters, a context and the inputs");
    return nullptr;
  }
  try {
    return run_operator(args[0], args[1], args[2], Py_None, args + 3, static_cast<size_t>(count - 3), true);
  } catch (...) {
    bridge.raise();
    return nullptr;
  }
}

// invoke_steered(op, params, numbers, out or None, *inputs)
PyObject* invoke_steered(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count < 4) {
    PyErr_SetString(PyExc_TypeError, "invoke_steered takes an operator, its parameters, numbers, out and the inputs");
    return nullptr;
  }
  try {
    return run_steered(args[0], args[1], args[2], args[3], args + 4, static_cast<size_t>(count - 4));
  } catch (...) {
    bridge.raise();
    return nullptr;
  }
}

// binary(operator of two arrays, operator of array and scalar, out or None, array, array or number): NotImplemented
// when the last is neither.
PyObject* binary(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 5) {
    PyErr_SetString(PyExc_TypeError, "binary takes two operators, out and two operands");
    return nullptr;
  }
  try {
    PyObject* other = args[4];
    if (PyFloat_Check(other) || PyLong_Check(other)) return run_scalar(args[1], other, args[2], args[3]);
    if (is_array(other)) {
      PyObject* params = PyTuple_New(0);  // stands for "no parameters" and is equal to any operator's empty ones
      if (!params) return nullptr;
      PyObject* result = run_operator(args[0], params, Py_None, args[2], args + 3, 2);
      Py_DECREF(params);
      return result;
    }
    Py_RETURN_NOTIMPLEMENTED;
  } catch (...) {
    bridge.raise();
    return nullptr;
  }
}

// run(program, *arrays): runs a program on arrays for all its bound slots, in their order.
PyObject* run(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count < 1) {
    PyErr_SetString(PyExc_TypeError, "run takes a program and arrays");
    return nullptr;
  }
  try {
    const std::shared_ptr<Program> program = bridge.unwrap_program(args[0]);
    std::vector<void*> operands;
    int64_t bytes = 0;
    for (Py_ssize_t i = 1; i < count; ++i) {
      if (!is_array(args[i])) {
        PyErr_SetString(PyExc_TypeError, "run: the operands of a program must be arrays");
        return nullptr;
      }
      operands.push_back(as_array(args[i])->data());
      as_array(args[i])->storage->touch();
      bytes += as_array(args[i])->size * item_size(as_array(args[i])->dtype);
    }
    run_program(*program, operands.data(), operands.size(), bytes > kHoldGil);
    Py_RETURN_NONE;
  } catch (...) {
    bridge.raise();
    return nullptr;
  }
}

PyObject* set_recording(PyObject*, PyObject* flag) {
  const int value = PyObject_IsTrue(flag);
  if (value < 0) return nullptr;
  PyObject* before = PyBool_FromLong(recording);
  recording = value != 0;
  return before;
}

PyObject* set_training(PyObject*, PyObject* flag) {
  const int value = PyObject_IsTrue(flag);
  if (value < 0) return nullptr;
  PyObject* before = PyBool_FromLong(training);
  training = value != 0;
  return before;
}

PyObject* is_recording(PyObject*, PyObject*) { return PyBool_FromLong(recording); }
PyObject* is_training(PyObject*, PyObject*) { return PyBool_FromLong(training); }
PyObject* cached_plans(PyObject*, PyObject*) { return PyLong_FromSize_t(plan_count()); }

PyObject* forget(PyObject*, PyObject*) {
  forget_plans();
  Py_RETURN_NONE;
}

// connect(compile, compile_steered, compile_scalar, parse_scalar, record, current_context, error class)
//   compile(op, params, ((shape, dtype), ...), context, training) -> (program, output types, visible, in place, 0)
//   compile_steered: the same for parameters that are operands, with their place among these
//   compile_scalar(op, ((shape, dtype),), context) -> the same with the scalar's place among the operands, or None
//   parse_scalar(op, number) -> params
//   record(op, params or number, inputs, outputs): called after a run while recording
PyObject* connect(PyObject*, PyObject* args) {
  PyObject** slots[] = {&python.compile, &python.compile_steered, &python.compile_scalar, &python.parse_scalar,
                        &python.record,  &python.current_context, &python.error};
  constexpr Py_ssize_t kCount = sizeof slots / sizeof slots[0];
  if (PyTuple_GET_SIZE(args) != kCount) {
    PyErr_Format(PyExc_TypeError, "connect takes %zd objects", kCount);
    return nullptr;
  }
  for (Py_ssize_t i = 0; i < kCount; ++i) Py_XSETREF(*slots[i], Py_NewRef(PyTuple_GET_ITEM(args, i)));
  Py_RETURN_NONE;
}

template <class F>
PyCFunction erased(F function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef functions[] = {
    {"invoke", erased(invoke), METH_FASTCALL, nullptr},
    {"invoke_all", erased(invoke_all), METH_FASTCALL, nullptr},
    {"invoke_steered", erased(invoke_steered), METH_FASTCALL, nullptr},
    {"binary", erased(binary), METH_FASTCALL, nullptr},
    {"run", erased(run), METH_FASTCALL, nullptr},
    {"set_recording", set_recording, METH_O, nullptr},
    {"set_training", set_training, METH_O, nullptr},
    {"is_recording", is_recording, METH_NOARGS, nullptr},
    {"is_training", is_training, METH_NOARGS, nullptr},
    {"cached_plans", cached_plans, METH_NOARGS, nullptr},
    {"forget_plans", forget, METH_NOARGS, nullptr},
    {"connect", connect, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_eager(PyObject* module) { return PyModule_AddFunctions(module, functions) == 0; }

}  // namespace minimx
