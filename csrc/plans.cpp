#include "plans.h"

#include <unordered_map>

namespace minimx {

namespace {

constexpr size_t kMaxPlans = 16384;  // the cache is emptied when it grows past this

std::unordered_map<uint64_t, std::vector<PlanPtr>>& plans() {
  static auto& all = *new std::unordered_map<uint64_t, std::vector<PlanPtr>>;
  return all;
}
size_t kept = 0;

}  // namespace

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
  if (kept >= kMaxPlans) {
    plans().clear();
    kept = 0;
  }
  plan->key = key.words();
  plan->params = Py_NewRef(params);
  plans()[key.hash].push_back(plan);
  ++kept;
}

PlanPtr read_plan(PyObject* made) {
  if (made == Py_None) return std::make_shared<Plan>();  // there is no such program
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

size_t plan_count() { return kept; }

void forget_plans() {
  plans().clear();
  kept = 0;
}

}  // namespace minimx
