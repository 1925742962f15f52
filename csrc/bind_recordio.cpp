// What Python sees of RecordIO files.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <mutex>

#include "pack.h"
#include "recordio.h"

namespace py = pybind11;
using namespace minimx;

namespace {

// Names of files need not be UTF-8.
py::str text(const std::string& bytes) {
  PyObject* made = PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "surrogateescape");
  if (!made) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(made);
}

// The sentence as an exception: OSError (or what is made of its number) if the system failed, ValueError for damage.
template <typename Stream>
[[noreturn]] void raise_error(const Stream& stream) {
  if (stream.error_number() == 0) {
    PyErr_SetObject(PyExc_ValueError, text(stream.error()).ptr());
  } else {
    py::object error = py::reinterpret_borrow<py::object>(PyExc_OSError)(stream.error_number(), text(stream.error()));
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  }
  throw py::error_already_set();
}

// A stream that several Python threads may use. Who finds it in use waits without the GIL.
template <typename Stream>
struct Shared {
  Stream stream;
  std::mutex mutex;

  std::unique_lock<std::mutex> lock() {
    std::unique_lock<std::mutex> lock(mutex, std::try_to_lock);
    if (!lock.owns_lock()) {
      py::gil_scoped_release release;
      lock.lock();
    }
    return lock;
  }
};
struct Reader : Shared<RecordReader> {
  py::object on_damage = py::none();  // called with a sentence

  // Does something that reads, and tells of damage when others may read again.
  template <typename Body>
  auto reading(Body body) {
    auto held = lock();
    const int64_t before = stream.lost();
    auto result = body();
    if (stream.lost() != before && !on_damage.is_none()) {
      const py::str damage = text(stream.damage());
      held.unlock();
      on_damage(damage);
    }
    return result;
  }
};
using Writer = Shared<RecordWriter>;

py::bytes to_bytes(const RecordView& record) {
  return py::bytes(reinterpret_cast<const char*>(record.data), record.size);
}

py::object read_next(Reader& self) {
  return self.reading([&]() -> py::object {
    RecordView record;
    if (self.stream.next(&record)) return to_bytes(record);
    if (!self.stream.error().empty()) raise_error(self.stream);
    return py::none();
  });
}

py::list read_many(Reader& self, size_t count, size_t limit) {
  return self.reading([&] {
    RecordChunk chunk;
    {
      py::gil_scoped_release release;
      self.stream.next(&chunk, limit, count);
    }
    if (!self.stream.error().empty()) raise_error(self.stream);
    py::list records(chunk.records.size());
    for (size_t i = 0; i < chunk.records.size(); ++i) {
      const auto& r = chunk.records[i];
      records[i] = py::bytes(reinterpret_cast<const char*>(chunk.bytes.data()) + r.begin, r.size);
    }
    return records;
  });
}

py::bytes read_at(Reader& self, int64_t offset) {
  const auto lock = self.lock();
  RecordView record;
  if (!self.stream.read_at(offset, &record)) raise_error(self.stream);
  return to_bytes(record);
}

std::vector<int64_t> scan(Reader& self) {
  return self.reading([&] {
    std::vector<int64_t> offsets;
    bool good;
    {
      py::gil_scoped_release release;
      good = self.stream.scan(&offsets);
    }
    if (!good) raise_error(self.stream);
    return offsets;
  });
}

std::unique_ptr<Reader> open_reader(std::vector<std::string> paths, int part_index, int num_parts, bool strict) {
  auto self = std::make_unique<Reader>();
  self->stream.set_strict(strict);
  if (!self->stream.open(std::move(paths), part_index, num_parts)) raise_error(self->stream);
  return self;
}

std::unique_ptr<Writer> open_writer(const std::string& path) {
  auto self = std::make_unique<Writer>();
  if (!self->stream.open(path)) raise_error(self->stream);
  return self;
}

py::buffer_info contiguous(const py::buffer& data) {
  py::buffer_info info = data.request();
  py::ssize_t step = info.itemsize;
  for (py::ssize_t i = info.ndim; i-- > 0; step *= info.shape[static_cast<size_t>(i)])
    if (info.strides[static_cast<size_t>(i)] != step && info.shape[static_cast<size_t>(i)] > 1)
      throw py::value_error("a record must be contiguous in memory");
  return info;
}

int64_t write_record(Writer& self, const py::object& data) {
  if (!PyBytes_Check(data.ptr()) && !PyObject_CheckBuffer(data.ptr()))
    throw py::type_error("a record must be bytes, got " + std::string(Py_TYPE(data.ptr())->tp_name));
  const void* begin = PyBytes_Check(data.ptr()) ? PyBytes_AS_STRING(data.ptr()) : nullptr;
  auto size = begin ? static_cast<size_t>(PyBytes_GET_SIZE(data.ptr())) : 0;
  py::buffer_info info;
  if (!begin) {
    info = contiguous(py::reinterpret_borrow<py::buffer>(data));
    begin = info.ptr;
    size = static_cast<size_t>(info.size * info.itemsize);
  }
  const auto lock = self.lock();
  const int64_t offset = self.stream.write(static_cast<const uint8_t*>(begin), size);
  if (offset < 0) raise_error(self.stream);
  return offset;
}

// Files as records, one behind the other, where each of them ends, and what was wrong with those that are empty.
py::tuple pack_some(const std::vector<std::pair<py::bytes, std::string>>& files, bool pass_through, int64_t resize,
                    bool center_crop, int color, int interpolation, int quality) {
  std::vector<PackItem> items;
  for (const auto& [head, path] : files) items.push_back({path, head});
  PackOptions options;
  options.pass_through = pass_through;
  options.resize = resize;
  options.center_crop = center_crop;
  options.color = color > 0 ? Pixels::rgb : color == 0 ? Pixels::gray : Pixels::stored;
  options.interpolation = interpolation;
  options.quality = quality;
  auto packed = std::make_unique<Packed>();
  {
    py::gil_scoped_release release;
    pack_files(items, options, packed.get());
  }
  py::list problems = py::cast(packed->problems);
  return py::make_tuple(std::move(packed), problems);
}

// Writes them; where each one begins, -1 for those that were left out.
std::vector<int64_t> write_packed(Writer& self, const Packed& packed) {
  const auto lock = self.lock();
  std::vector<int64_t> offsets;
  bool good = true;
  {
    py::gil_scoped_release release;
    size_t begin = 0;
    for (const size_t end : packed.ends) {
      if (begin == end) {
        offsets.push_back(-1);
        continue;
      }
      offsets.push_back(self.stream.write(packed.bytes.data() + begin, end - begin));
      good = offsets.back() >= 0;
      if (!good) break;
      begin = end;
    }
  }
  if (!good) raise_error(self.stream);
  return offsets;
}

template <bool (RecordWriter::*action)()>
void finish(Writer& self) {
  const auto lock = self.lock();
  bool good;
  {
    py::gil_scoped_release release;
    good = (self.stream.*action)();
  }
  if (!good) raise_error(self.stream);
}

}  // namespace

void bind_recordio(py::module_& m) {
  py::class_<Reader>(m, "RecordReader")
      .def(py::init(&open_reader), py::arg("paths"), py::arg("part_index") = 0, py::arg("num_parts") = 1,
           py::arg("strict") = false)
      .def("read", &read_next)
      .def("read_many", &read_many, py::arg("count"), py::arg("limit") = size_t{64} << 20)
      .def("read_at", &read_at)
      .def("scan", &scan)
      .def("seek",
           [](Reader& self, int64_t offset) {
             const auto lock = self.lock();
             if (!self.stream.seek(offset)) raise_error(self.stream);
           })
      .def("set_order",
           [](Reader& self, std::vector<int64_t> offsets) {
             const auto lock = self.lock();
             self.stream.set_order(std::move(offsets));
           })
      .def("tell",
           [](Reader& self) {
             const auto lock = self.lock();
             return self.stream.tell();
           })
      .def("reset",
           [](Reader& self) {
             const auto lock = self.lock();
             self.stream.reset();
           })
      .def("close",
           [](Reader& self) {
             const auto lock = self.lock();
             self.stream.close();
           })
      .def("place",
           [](Reader& self, int64_t offset) {
             const auto lock = self.lock();
             return text(self.stream.place(offset));
           })
      .def_readwrite("on_damage", &Reader::on_damage)
      .def_property_readonly("size", [](const Reader& self) { return self.stream.bytes(); })
      .def_property_readonly("lost", [](const Reader& self) { return self.stream.lost(); })
      .def_property_readonly("lost_bytes", [](const Reader& self) { return self.stream.lost_bytes(); })
      .def_property_readonly("damage", [](const Reader& self) { return text(self.stream.damage()); });

  py::class_<Packed>(m, "Packed").def("record", [](const Packed& self, size_t i) {
    const size_t begin = i ? self.ends.at(i - 1) : 0;
    return py::bytes(reinterpret_cast<const char*>(self.bytes.data()) + begin, self.ends.at(i) - begin);
  });
  m.def("pack_files", &pack_some, py::arg("files"), py::kw_only(), py::arg("pass_through"), py::arg("resize"),
        py::arg("center_crop"), py::arg("color"), py::arg("interpolation"), py::arg("quality"));

  py::class_<Writer>(m, "RecordWriter")
      .def(py::init(&open_writer), py::arg("path"))
      .def("write", &write_record)
      .def("write_packed", &write_packed)
      .def("tell",
           [](Writer& self) {
             const auto lock = self.lock();
             return self.stream.tell();
           })
      .def("flush", &finish<&RecordWriter::flush>)
      .def("sync", &finish<&RecordWriter::sync>)
      .def("close", &finish<&RecordWriter::close>);
}
