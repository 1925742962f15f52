// What Python sees of storage, programs and devices; of the other parts in bind_*.cpp.
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>

#include "arena.h"
#include "array.h"
#include "device.h"
#include "profile.h"
#include "program.h"
#include "storage.h"
#include "threads.h"

namespace py = pybind11;
using namespace minimx;

// An argument of a kernel, read by its type: pybind11's own way tries one alternative of the variant after the other,
// for a dozen arguments of every call.
template <>
struct py::detail::type_caster<ArgValue> {
  PYBIND11_TYPE_CASTER(ArgValue, const_name("int | float | list"));

  bool load(handle source, bool) {
    PyObject* const object = source.ptr();
    if (PyFloat_Check(object)) {
      value = PyFloat_AS_DOUBLE(object);
    } else if (int64_t integer; read(object, &integer)) {
      value = integer;
    } else if (!isinstance<sequence>(source) || isinstance<str>(source)) {
      return false;
    } else if (std::vector<int64_t> integers; read(reinterpret_borrow<sequence>(source), &integers)) {
      value = std::move(integers);
    } else {
      make_caster<std::vector<double>> reals;
      if (!reals.load(source, true)) return false;
      value = cast_op<std::vector<double>&&>(std::move(reals));
    }
    return true;
  }

 private:
  static bool read(PyObject* object, int64_t* integer) {
    if (!PyIndex_Check(object)) return false;
    *integer = PyLong_AsLongLong(object);
    if (*integer != -1 || !PyErr_Occurred()) return true;
    PyErr_Clear();
    return false;
  }

  static bool read(const sequence& source, std::vector<int64_t>* integers) {
    integers->reserve(source.size());
    for (const handle item : source)
      if (int64_t integer; read(item.ptr(), &integer))
        integers->push_back(integer);
      else
        return false;
    return true;
  }
};

void bind_image(py::module_& m);
void bind_recordio(py::module_& m);

namespace {

// Keeps a Python object alive from C++; may be dropped by a thread without the GIL.
std::shared_ptr<void> keep(py::object object) {
  PyObject* raw = object.release().ptr();
  return std::shared_ptr<void>(raw, [](void* p) {
    if (!Py_IsInitialized()) return;
    py::gil_scoped_acquire gil;
    Py_DECREF(static_cast<PyObject*>(p));
  });
}

// A NumPy array over host memory of a storage, without a copy.
py::array view(const StoragePtr& storage, int64_t offset, const std::vector<py::ssize_t>& shape,
               const py::dtype& dtype) {
  if (storage->device().type != "cpu") throw std::invalid_argument("only host memory can be seen as a NumPy array");
  storage->lend();
  py::capsule owner(new StoragePtr(storage), [](void* p) { delete static_cast<StoragePtr*>(p); });
  return py::array(dtype, shape, {}, storage->data() + offset, owner);
}

void copy_in(const StoragePtr& storage, int64_t offset, const py::buffer& source) {
  const py::buffer_info info = source.request();
  const auto bytes = static_cast<size_t>(info.size * info.itemsize);
  if (offset < 0 || offset + bytes > storage->bytes()) throw std::out_of_range("copy_in: past the end of the storage");
  static Device& cpu = device("cpu", 0);
  copy_bytes(storage->device(), storage->data() + offset, cpu, info.ptr, bytes);
  storage->touch();
}

void copy_out(const StoragePtr& storage, int64_t offset, py::array& target) {
  const auto bytes = static_cast<size_t>(target.nbytes());
  if (offset < 0 || offset + bytes > storage->bytes()) throw std::out_of_range("copy_out: past the end of the storage");
  static Device& cpu = device("cpu", 0);
  py::gil_scoped_release release;
  copy_bytes(cpu, target.mutable_data(), storage->device(), storage->data() + offset, bytes);
}

// One kernel on NumPy arrays, for tests of kernels without the engine above them. On a device with memory of its own
// the arrays are copied there and, those that can be written, back; each has a block to itself, so that a guarded
// device finds writes past its end.
void run_kernel(const std::string& name, const ArgValues& args, const std::vector<py::object>& operands, Device& on) {
  const KernelEntry* entry = on.find(name);
  if (!entry) throw std::invalid_argument("there is no kernel " + name + " on " + on.type);
  const Arguments arguments(*entry, args);
  struct Operand {
    void* host;
    size_t bytes;
    bool writable;
    void* data;
  };
  std::vector<Operand> all;
  std::vector<void*> pointers;
  for (const py::object& operand : operands) {
    Operand o{};
    if (!operand.is_none()) {
      const auto array = py::cast<py::array>(operand);
      o = {const_cast<void*>(array.data()), static_cast<size_t>(array.nbytes()), array.writeable(), nullptr};
    }
    all.push_back(o);
  }
  py::gil_scoped_release release;
  void* const stream = on.context.stream;
  const bool host = on.type == "cpu";
  for (size_t i = 0; i < all.size(); ++i) {
    Operand& o = all[i];
    o.data = o.host;
    if (o.host && !host) {
      for (size_t j = 0; j < i && o.data == o.host; ++j)  // the same array twice is the same memory there too
        if (all[j].host == o.host) o.data = all[j].data;
      if (o.data == o.host) {
        o.data = on.driver.allocate(o.bytes ? o.bytes : 1, stream);
        if (!o.data) throw std::runtime_error("out of memory");
        on.driver.to_device(o.data, o.host, o.bytes, stream);
      }
    }
    pointers.push_back(o.data);
  }
  entry->run(arguments.data(), pointers.data(), on.context_now());
  on.driver.wait(stream);
  if (host) return;
  for (size_t i = 0; i < all.size(); ++i) {
    const Operand& o = all[i];
    if (o.host && o.writable) on.driver.to_host(o.host, o.data, o.bytes, stream);
  }
  for (size_t i = 0; i < all.size(); ++i) {
    bool last = all[i].host != nullptr;
    for (size_t j = i + 1; j < all.size(); ++j) last = last && all[j].host != all[i].host;
    if (last) on.driver.release(all[i].data, all[i].bytes ? all[i].bytes : 1, stream);
  }
}

// name -> (opcode, arity, whether it exists for integers).
py::dict ewise_opcodes() {
  enum { REAL, ANY };
  py::dict table;
#define EWISE(name, arity, types, expression) table[#name] = py::make_tuple(table.size(), arity, types == ANY);
#include "ewise.def"
#undef EWISE
  return table;
}

// One kernel on arrays of one device, without a program: what indexing moves elements with.
void launch(const std::string& name, const ArgValues& args, const std::vector<py::object>& operands) {
  std::vector<void*> pointers;
  Device* device = nullptr;
  int64_t bytes = 0;
  for (const py::object& operand : operands) {
    if (!is_array(operand.ptr())) throw py::type_error("the operands of a kernel must be arrays");
    const Array& array = *as_array(operand.ptr());
    if (device && device != &array.storage->device())
      throw std::invalid_argument(name + ": operands on different devices");
    device = &array.storage->device();
    bytes += array.size * item_size(array.dtype);
    pointers.push_back(array.data());
    array.storage->touch();  // one of them is written
  }
  const KernelEntry* entry = device ? device->find(name) : nullptr;
  if (!entry) throw std::invalid_argument("there is no kernel " + name);
  const Arguments arguments(*entry, args);
  if (bytes > kHoldGil) {
    py::gil_scoped_release release;
    entry->run(arguments.data(), pointers.data(), device->context_now());
  } else {
    entry->run(arguments.data(), pointers.data(), device->context_now());
  }
}

// What array.cpp and eager.cpp need to know about the pybind11 classes.
const Bridge pybind_bridge = {
    [](const StoragePtr& storage) { return py::cast(storage).release().ptr(); },
    [](PyObject* object) { return py::handle(object).cast<StoragePtr>(); },
    [](PyObject* object) { return py::handle(object).cast<std::shared_ptr<Program>>(); },
    [](PyObject* object) -> Device& { return py::handle(object).cast<Device&>(); },
    [](PyObject* object, HostView* view) {
      if (!py::isinstance<py::array>(object)) return false;
      const auto array = py::reinterpret_borrow<py::array>(object);
      const py::dtype dtype = array.dtype();
      const char order = dtype.byteorder();
      if (!(array.flags() & py::array::c_style) || !(order == '=' || order == '|')) return false;
      *view = {array.data(), static_cast<int>(array.ndim()), array.shape(), dtype.kind(), dtype.itemsize()};
      return true;
    },
    [] {
      try {
        throw;
      } catch (py::error_already_set& error) {
        error.restore();
      } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
      } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
      } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
      }
    },
};

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "The program, storage and kernel layer of minimx.";

  py::class_<Device, std::unique_ptr<Device, py::nodelete>>(m, "Device")
      .def_readonly("type", &Device::type)
      .def_readonly("id", &Device::id)
      .def("has_kernel", [](const Device& d, const std::string& name) { return d.find(name) != nullptr; })
      .def("kernels",
           [](const Device& d) {
             std::vector<std::string> names;
             for (const auto& [name, entry] : d.kernels) names.push_back(name);
             return names;
           })
      .def("kernel_args",
           [](const Device& d, const std::string& name) {
             const KernelEntry* entry = d.find(name);
             if (!entry) throw std::invalid_argument("there is no kernel " + name);
             std::vector<std::string> fields;
             for (uint32_t i = 0; i < entry->args->count; ++i) fields.push_back(entry->args->fields[i].name);
             return fields;
           })
      .def("wait",
           [](Device& d) {
             py::gil_scoped_release release;
             d.driver.wait(d.context.stream);
           })
      .def("empty_cache", [](Device& d) { d.pool.empty_cache(); })
      .def("memory_stats",
           [](Device& d) {
             const MemoryStats s = d.pool.stats();
             py::dict out;
             out["held"] = s.held;
             out["used"] = s.used;
             out["peak"] = s.peak;
             out["allocations"] = s.allocations;
             out["misses"] = s.misses;
             return out;
           })
      .def("memory", [](Device& d) {
        int64_t free_bytes = 0, total_bytes = 0;
        d.driver.memory(&free_bytes, &total_bytes, d.context.stream);
        return py::make_tuple(free_bytes, total_bytes);
      });
  m.def(
      "device", [](const std::string& type, int id) { return &device(type, id); }, py::return_value_policy::reference);
  m.def("device_count", &device_count);
  m.def("cpu_level", &cpu_level);
  m.def("thread_count", &thread_count);
  m.def("set_thread_count", &set_thread_count);

  py::class_<Storage, StoragePtr>(m, "Storage")
      .def(py::init([](Device& d, size_t bytes) { return std::make_shared<Storage>(d, bytes); }))
      .def_property_readonly("address",
                             [](Storage& s) {
                               s.lend();
                               return reinterpret_cast<uintptr_t>(s.data());
                             })
      .def_property_readonly("bytes", &Storage::bytes)
      .def_property_readonly("device", &Storage::device, py::return_value_policy::reference);
  m.def("wrap", [](Device& d, uintptr_t address, size_t bytes, py::object owner) {
    return std::make_shared<Storage>(d, reinterpret_cast<void*>(address), bytes, keep(std::move(owner)));
  });
  m.def("view", &view);
  m.def("copy_in", &copy_in);
  m.def("copy_out", &copy_out);
  m.def("copy", [](const StoragePtr& to, int64_t to_offset, const StoragePtr& from, int64_t from_offset, size_t bytes) {
    py::gil_scoped_release release;
    copy_bytes(to->device(), to->data() + to_offset, from->device(), from->data() + from_offset, bytes);
    to->touch();
  });
  m.def("launch", &launch);
  m.def("ewise_opcodes", &ewise_opcodes);
  m.def(
      "run_kernel",
      [](const std::string& name, const ArgValues& args, const std::vector<py::object>& operands, Device* on) {
        run_kernel(name, args, operands, on ? *on : device("cpu", 0));
      },
      py::arg("name"), py::arg("args"), py::arg("operands"), py::arg("device") = nullptr);

  m.def(
      "pack",
      [](const std::vector<std::tuple<int64_t, int64_t, int64_t>>& lifetimes) {
        std::vector<Lifetime> found;
        for (const auto& [bytes, first, last] : lifetimes) found.push_back({bytes, first, last});
        return pack(found);
      },
      py::arg("lifetimes"), py::call_guard<py::gil_scoped_release>());

  m.def("seed", [](uint64_t seed) { generator() = {seed, 0}; });
  m.def("random_state", [] { return py::make_tuple(generator().seed, generator().step); });
  m.def("set_random_state", [](uint64_t seed, uint64_t step) { generator() = {seed, step}; });

  py::class_<Program, std::shared_ptr<Program>>(m, "Program")
      .def(py::init<>())
      .def("add_bound", &Program::add_bound)
      .def("add_arena", &Program::add_arena)
      .def("add_part", &Program::add_part)
      .def("add_call", &Program::add_call)
      .def("add_call_like", &Program::add_call_like)
      .def("add_copy", &Program::add_copy)
      .def("add_random_step", &Program::add_random_step)
      .def("writes", &Program::writes)
      .def("keep", &Program::keep)
      .def("add_kept", &Program::add_kept)
      .def("refresh", &Program::refresh, py::call_guard<py::gil_scoped_release>())
      .def("is_stale", &Program::is_stale)
      .def("add_host_call",
           [](Program& p, py::function body, const std::vector<int>& slots) {
             const std::shared_ptr<void> kept = keep(body);
             const size_t count = slots.size();
             return p.add_host_call(
                 [kept, count](void* const* operands) {
                   py::gil_scoped_acquire gil;
                   py::list addresses;
                   for (size_t i = 0; i < count; ++i) addresses.append(reinterpret_cast<uintptr_t>(operands[i]));
                   py::reinterpret_borrow<py::object>(static_cast<PyObject*>(kept.get()))(addresses);
                 },
                 slots);
           })
      .def("describe", &Program::describe)
      .def("seal",
           [](Program& p, const std::vector<std::pair<Device*, int64_t>>& arenas,
              const std::shared_ptr<Program>& share) {
             std::map<Device*, int64_t> sizes;
             for (const auto& [d, bytes] : arenas) sizes[d] = bytes;
             p.seal(sizes, share.get());
           })
      .def("bind", &Program::bind)
      .def("address", [](const Program& p, int slot) { return reinterpret_cast<uintptr_t>(p.address(slot)); })
      .def("run", &Program::run, py::call_guard<py::gil_scoped_release>())
      .def("wait", &Program::wait, py::call_guard<py::gil_scoped_release>())
      .def("kernel_name", &Program::kernel_name)
      .def("arena_bytes", &Program::arena_bytes)
      .def("__len__", &Program::size);

  // Which programs are timed: 1 those of executors, 2 those of operators applied at once.
  m.def("profile", [](int which) { profiled.store(which); });
  m.def("take_events", [] {
    int64_t lost = 0;
    const std::vector<Event> events = take_events(&lost);
    py::list out;
    for (const Event& e : events)
      out.append(py::make_tuple(e.note->op, e.note->kernel, e.note->node, e.note->operands, e.note->bytes,
                                e.device->type, e.device->id, e.begin, e.end, e.thread, e.eager, e.memory));
    return py::make_tuple(out, lost);
  });
  bind_image(m);
  bind_recordio(m);

  bridge = pybind_bridge;
  if (!add_arrays(m.ptr()) || !add_dlpack(m.ptr()) || !add_eager(m.ptr()) || !add_feed(m.ptr()))
    throw py::error_already_set();
}
