// The cache of one-node programs: what a program is found by, and what is known about running it.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "array.h"
#include "program.h"

namespace minimx {

// A reference that is dropped at the end of the scope.
struct Owned {
  PyObject* object;
  explicit Owned(PyObject* object) : object(object) {}
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { Py_XDECREF(object); }
};

struct OutputType {
  PyObject* shape;
  int64_t size;
  int64_t dtype;
};

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

// The plan for the key, or null: then there is none, or a Python error if comparing parameters failed. The cache is
// only touched with the GIL held.
PlanPtr find_plan(const Key& key, PyObject* params);
void keep_plan(const Key& key, PyObject* params, const PlanPtr& plan);
size_t plan_count();
void forget_plans();

// Reads what Python's compile gives: (program, ((shape, dtype), ...), visible outputs, in place, place of the numbers).
// None says that there is no such program. Null with a Python error.
PlanPtr read_plan(PyObject* made);

// Decides from the bytes that are touched whether other threads are let in meanwhile.
void note_work(Plan& plan, PyObject* const* inputs, size_t count);

// ((shape, dtype), ...) of arrays; a new reference.
PyObject* type_tuple(PyObject* const* inputs, size_t count);

// The plan for the key; `compile(types)` asks Python for it when there is none yet. Null with a Python error.
template <class Compile>
PlanPtr plan_for(const Key& key, PyObject* params, PyObject* const* inputs, size_t count, const Compile& compile) {
  PlanPtr plan = find_plan(key, params);
  if (plan || PyErr_Occurred()) return plan;
  const Owned types(type_tuple(inputs, count));
  if (!types.object) return nullptr;
  const Owned made(compile(types.object));
  if (!made.object) return nullptr;
  plan = read_plan(made.object);
  if (!plan) return nullptr;
  note_work(*plan, inputs, count);
  keep_plan(key, params, plan);
  return plan;
}

}  // namespace minimx
