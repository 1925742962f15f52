// Operators applied at once: a cache of one-node programs, found by operator, parameters, input types and device, and
// run on fresh outputs, all in one crossing from Python. Programs are compiled by Python when they are first needed.
#include <cmath>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "array.h"
#include "device.h"
#include "program.h"

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

struct OutputType {
  PyObject* shape;
  int64_t size;
  int64_t dtype;
};

constexpr size_t kMaxOperands = 64;  // more go the slow way, through a vector
constexpr size_t kMaxPlans = 16384;  // the cache is emptied when it grows past this

struct Plan {
  std::vector<int64_t> key;
  PyObject* params = nullptr;
  std::shared_ptr<Program> program;  // null: a scalar operator that cannot take its scalar from a slot
  std::vector<OutputType> outputs;
  int64_t visible = 0;
  int64_t numbers_at = 0;  // where numbers that are no inputs stand among the operands
  uint64_t in_place = 0;   // bit i: the first output may share memory with input i when both have the same extent
  bool idle = false;       // nothing to do: no output has an element
  bool release_gil = false;

  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    Py_XDECREF(params);
    for (OutputType& type : outputs) Py_DECREF(type.shape);
  }
};
using PlanPtr = std::shared_ptr<Plan>;

// Only touched with the GIL held.
std::unordered_map<uint64_t, std::vector<PlanPtr>>& plans() {
  static auto& all = *new std::unordered_map<uint64_t, std::vector<PlanPtr>>;
  return all;
}
size_t plan_count = 0;

// The words a plan is found by, on the stack.
struct Key {
  static constexpr size_t kInline = 96;
  int64_t inline_words[kInline];
  std::vector<int64_t> more;
  size_t count = 0;
  uint64_t hash = 0x9e3779b97f4a7c15;

  void add(int64_t word) {
    if (count < kInline)
      inline_words[count] = word;
    else
      more.push_back(word);
    ++count;
    hash = (hash ^ static_cast<uint64_t>(word)) * 0xff51afd7ed558ccd;
    hash ^= hash >> 32;
  }
  void add(const Array& array) {
    const Py_ssize_t ndim = PyTuple_GET_SIZE(array.shape);
    add(array.dtype << 8 | ndim);
    for (Py_ssize_t i = 0; i < ndim; ++i) add(PyLong_AsLongLong(PyTuple_GET_ITEM(array.shape, i)));
  }
  bool equals(const std::vector<int64_t>& words) const {
    if (words.size() != count) return false;
    const size_t head = std::min(count, kInline);
    return std::memcmp(words.data(), inline_words, head * sizeof(int64_t)) == 0 &&
           (more.empty() || std::memcmp(words.data() + head, more.data(), more.size() * sizeof(int64_t)) == 0);
  }
  std::vector<int64_t> words() const {
    std::vector<int64_t> all(inline_words, inline_words + std::min(count, kInline));
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

// The plan for the key, or null: then there is none, or a Python error if comparing parameters failed.
PlanPtr find_plan(const Key& key, PyObject* params) {
  auto bucket = plans().find(key.hash);
  if (bucket == plans().end()) return nullptr;
  for (const PlanPtr& plan : bucket->second) {
    if (!key.equals(plan->key)) continue;
    if (plan->params == params) return plan;
    const int equal = PyObject_RichCompareBool(plan->params, params, Py_EQ);
    if (equal < 0) return nullptr;
    if (equal) return plan;
  }
  return nullptr;
}

void keep_plan(const Key& key, PyObject* params, const PlanPtr& plan) {
  if (plan_count >= kMaxPlans) {
    plans().clear();
    plan_count = 0;
  }
  plan->key = key.words();
  plan->params = Py_NewRef(params);
  plans()[key.hash].push_back(plan);
  ++plan_count;
}

// Reads what Python's compile gives: (program, ((shape, dtype), ...), visible outputs, in place, place of the
// numbers).
PlanPtr read_plan(PyObject* made) {
  PyObject *program = nullptr, *types = nullptr;
  long long visible = 0, position = 0, in_place = 0;
  if (!PyArg_ParseTuple(made, "OO!LLL", &program, &PyTuple_Type, &types, &visible, &in_place, &position))
    return nullptr;
  auto plan = std::make_shared<Plan>();
  plan->program = bridge.unwrap_program(program);
  plan->visible = visible;
  plan->in_place = static_cast<uint64_t>(in_place);
  plan->numbers_at = position;
  plan->idle = PyTuple_GET_SIZE(types) > 0;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(types); ++i) {
    PyObject *shape = nullptr, *name = nullptr;
    if (!PyArg_ParseTuple(PyTuple_GET_ITEM(types, i), "O!U", &PyTuple_Type, &shape, &name)) return nullptr;
    const int64_t dtype = dtype_of(name);
    const int64_t size = dtype < 0 ? -1 : element_count(shape);
    if (size < 0) return nullptr;
    plan->outputs.push_back({Py_NewRef(shape), size, dtype});
    plan->idle = plan->idle && size == 0;
  }
  return plan;
}

void note_work(Plan& plan, PyObject* const* inputs, size_t count) {
  int64_t bytes = 0;
  for (size_t i = 0; i < count; ++i) bytes += as_array(inputs[i])->size * item_size(as_array(inputs[i])->dtype);
  for (const OutputType& type : plan.outputs) bytes += type.size * item_size(type.dtype);
  plan.release_gil = bytes > kHoldGil;
}

PyObject* type_tuple(PyObject* const* inputs, size_t count) {
  PyObject* types = PyTuple_New(static_cast<Py_ssize_t>(count));
  if (!types) return nullptr;
  for (size_t i = 0; i < count; ++i) {
    PyObject* pair = PyTuple_Pack(2, as_array(inputs[i])->shape, dtype_name(as_array(inputs[i])->dtype));
    if (!pair) {
      Py_DECREF(types);
      return nullptr;
    }
    PyTuple_SET_ITEM(types, static_cast<Py_ssize_t>(i), pair);
  }
  return types;
}

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

// Runs the plan on the inputs (and `numbers`, each in kNumberBytes), into `out` or fresh arrays. Returns what the user
// gets.
PyObject* execute(PyObject* op, PyObject* params, const PlanPtr& plan, PyObject* const* inputs, size_t count,
                  const char* numbers, size_t number_count, Device& device, PyObject* context, PyObject* out,
                  bool hidden) {
  Outputs outputs;
  std::vector<std::pair<size_t, PyObject*>> copies;  // output number -> the array that gets it afterwards
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
  for (size_t i = 0; i < plan->outputs.size(); ++i) {
    const OutputType& type = plan->outputs[i];
    if (i < given_count) {
      const Array& target = *as_array(given[i]);
      bool direct = true;
      for (size_t k = 0; k < count; ++k) {
        const Array& input = *as_array(inputs[k]);
        if (overlap(target, input)) {
          const bool allowed = i == 0 && k < 64 && (plan->in_place >> k & 1);
          direct = direct && allowed && same_extent(target, input);
        }
      }
      if (direct) {
        outputs.arrays.push_back(Py_NewRef(given[i]));
        continue;
      }
      copies.emplace_back(i, given[i]);
    }
    auto storage = std::make_shared<Storage>(device, type.size * item_size(type.dtype));
    PyObject* array = make_array(std::move(storage), 0, type.shape, type.size, type.dtype, context);
    if (!array) return nullptr;
    outputs.arrays.push_back(array);
  }

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
    for (PyObject* array : outputs.arrays) operands[n++] = as_array(array)->data();
    run_program(*plan->program, operands, n, plan->release_gil);
    for (const auto& [i, target] : copies)
      copy_bytes(device, as_array(target)->data(), device, as_array(outputs.arrays[i])->data(),
                 static_cast<size_t>(plan->outputs[i].size * item_size(plan->outputs[i].dtype)));
  }
  for (const auto& [i, target] : copies) Py_SETREF(outputs.arrays[i], Py_NewRef(target));

  if (recording) {
    bool wanted = false;
    for (size_t k = 0; k < count; ++k) wanted = wanted || as_array(inputs[k])->entry;
    if (wanted) {
      PyObject* ins = PyTuple_New(static_cast<Py_ssize_t>(count));
      PyObject* outs = PyTuple_New(static_cast<Py_ssize_t>(outputs.arrays.size()));
      if (!ins || !outs) {
        Py_XDECREF(ins);
        Py_XDECREF(outs);
        return nullptr;
      }
      for (size_t k = 0; k < count; ++k) PyTuple_SET_ITEM(ins, static_cast<Py_ssize_t>(k), Py_NewRef(inputs[k]));
      for (size_t k = 0; k < outputs.arrays.size(); ++k)
        PyTuple_SET_ITEM(outs, static_cast<Py_ssize_t>(k), Py_NewRef(outputs.arrays[k]));
      PyObject* done = PyObject_CallFunctionObjArgs(python.record, op, params, ins, outs, nullptr);
      Py_DECREF(ins);
      Py_DECREF(outs);
      if (!done) return nullptr;
      Py_DECREF(done);
    }
  }

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

PyObject* run_operator(PyObject* op, PyObject* params, PyObject* context, PyObject* out, PyObject* const* inputs,
                       size_t count, bool hidden = false) {
  Key key;
  const Py_hash_t hash = PyObject_Hash(params);
  if (hash == -1 && PyErr_Occurred()) return nullptr;
  Device* device = nullptr;
  PyObject* owned_context = nullptr;
  if (count > 0) {
    device = common_device(op, inputs, count);
    if (!device) return nullptr;
    context = as_array(inputs[0])->context;
  } else {
    if (context == Py_None) {
      owned_context = PyObject_CallNoArgs(python.current_context);
      if (!owned_context) return nullptr;
      context = owned_context;
    }
    PyObject* found = PyObject_GetAttrString(context, "device");
    if (found) device = &bridge.unwrap_device(found);
    Py_XDECREF(found);
  }
  struct Owned {
    PyObject* object;
    ~Owned() { Py_XDECREF(object); }
  } context_owner{owned_context};
  if (!device) return nullptr;
  key.add(reinterpret_cast<intptr_t>(op));
  key.add(hash);
  key.add(reinterpret_cast<intptr_t>(device) | (training ? 1 : 0));
  for (size_t i = 0; i < count; ++i) key.add(*as_array(inputs[i]));
  PlanPtr plan = find_plan(key, params);
  if (!plan) {
    if (PyErr_Occurred()) return nullptr;
    PyObject* types = type_tuple(inputs, count);
    if (!types) return nullptr;
    PyObject* made =
        PyObject_CallFunction(python.compile, "OOOOO", op, params, types, context, training ? Py_True : Py_False);
    Py_DECREF(types);
    if (!made) return nullptr;
    plan = read_plan(made);
    Py_DECREF(made);
    if (!plan) return nullptr;
    note_work(*plan, inputs, count);
    keep_plan(key, params, plan);
  }
  return execute(op, params, plan, inputs, count, nullptr, 0, *device, context, out, hidden);
}

PyObject* run_scalar(PyObject* op, PyObject* scalar, PyObject* out, PyObject* input) {
  const double value = PyFloat_AsDouble(scalar);
  if (value == -1.0 && PyErr_Occurred()) return nullptr;
  Device* device = common_device(op, &input, 1);
  if (!device) return nullptr;
  const Array& array = *as_array(input);
  Key key;
  key.add(reinterpret_cast<intptr_t>(op));
  key.add(reinterpret_cast<intptr_t>(device));
  key.add(array);
  PlanPtr plan = find_plan(key, Py_None);
  if (!plan) {
    if (PyErr_Occurred()) return nullptr;
    PyObject* types = type_tuple(&input, 1);
    if (!types) return nullptr;
    PyObject* made = PyObject_CallFunction(python.compile_scalar, "OOO", op, types, array.context);
    Py_DECREF(types);
    if (!made) return nullptr;
    plan = made == Py_None ? std::make_shared<Plan>() : read_plan(made);
    Py_DECREF(made);
    if (!plan) return nullptr;
    note_work(*plan, &input, 1);
    keep_plan(key, Py_None, plan);
  }
  if (plan->program) {
    alignas(kNumberBytes) char bytes[kNumberBytes];
    store_scalar(value, array.dtype, bytes);
    return execute(op, scalar, plan, &input, 1, bytes, 1, *device, array.context, out, false);
  }
  PyObject* params = PyObject_CallFunctionObjArgs(python.parse_scalar, op, scalar, nullptr);
  if (!params) return nullptr;
  PyObject* result = run_operator(op, params, Py_None, out, &input, 1);
  Py_DECREF(params);
  return result;
}

// An operator whose steered parameters come as numbers beside the rest of the parameters.
PyObject* run_steered(PyObject* op, PyObject* params, PyObject* numbers, PyObject* out, PyObject* const* inputs,
                      size_t count) {
  constexpr Py_ssize_t kMost = 8;
  if (!PyTuple_Check(numbers) || PyTuple_GET_SIZE(numbers) > kMost || count == 0) {
    PyErr_SetString(PyExc_TypeError, "invoke_steered takes a tuple of at most 8 numbers, and inputs");
    return nullptr;
  }
  const Py_hash_t hash = PyObject_Hash(params);
  if (hash == -1 && PyErr_Occurred()) return nullptr;
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
  key.add(reinterpret_cast<intptr_t>(op));
  key.add(hash);
  key.add(reinterpret_cast<intptr_t>(device) | (training ? 3 : 2));
  for (size_t i = 0; i < count; ++i) key.add(*as_array(inputs[i]));
  PlanPtr plan = find_plan(key, params);
  if (!plan) {
    if (PyErr_Occurred()) return nullptr;
    PyObject* types = type_tuple(inputs, count);
    if (!types) return nullptr;
    PyObject* made = PyObject_CallFunction(python.compile_steered, "OOOOO", op, params, types, first.context,
                                           training ? Py_True : Py_False);
    Py_DECREF(types);
    if (!made) return nullptr;
    plan = read_plan(made);
    Py_DECREF(made);
    if (!plan) return nullptr;
    note_work(*plan, inputs, count);
    keep_plan(key, params, plan);
  }
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
PyObject* cached_plans(PyObject*, PyObject*) { return PyLong_FromSize_t(plan_count); }

PyObject* forget_plans(PyObject*, PyObject*) {
  plans().clear();
  plan_count = 0;
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
    {"forget_plans", forget_plans, METH_NOARGS, nullptr},
    {"connect", connect, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

bool add_eager(PyObject* module) { return PyModule_AddFunctions(module, functions) == 0; }

}  // namespace minimx
