// The parts of libjpeg's binary interface that are used are declared here, so that any libjpeg-turbo from 1.5 on will
// do, whichever of its interface versions (62, 70, 80) it was built for: the fields lie in the same places, and the
// library itself says which version and structure sizes it expects.
#include "jpeg.h"

#include <dlfcn.h>

#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <mutex>

#if __has_include(<jpeglib.h>)
#include <cstdio>
#define MINIMX_CHECK_JPEG
#include <jpeglib.h>
#endif

namespace minimx {
namespace {

// ---- libjpeg's interface --------------------------------------------------------------------------------------------

struct Common;
struct Errors {
  void (*error_exit)(Common*);
  void (*emit_message)(Common*, int level);
  void (*output_message)(Common*);
  void (*format_message)(Common*, char* text);
  void (*reset)(Common*);
  int code;
  union {
    int i[8];
    char s[80];
  } parameters;
  int trace_level;
  long warnings;
  const char* const* table;
  int last_message;
  const char* const* more_table;
  int first_more, last_more;
};

struct Source {
  const uint8_t* next;
  size_t left;
  void (*init)(Common*);
  int (*fill)(Common*);
  void (*skip)(Common*, long count);
  int (*resync)(Common*, int desired);
  void (*term)(Common*);
};

struct Common {
  Errors* errors;
  void *memory, *progress, *client;
  int is_decompressor, state;
};

struct Decompress : Common {
  Source* source;
  unsigned width, height;
  int components, jpeg_space, out_space;
  unsigned scale_num, scale_denom;
  double gamma;
  int buffered, raw, dct_method, fancy_upsampling, block_smoothing, quantize, dither, two_pass, colors;
  int enable_1pass, enable_external, enable_2pass;
  unsigned out_width, out_height;
  int out_color_components, out_components, out_rows, actual_colors;
  uint8_t** colormap;
  unsigned out_row;
};

struct Compress : Common {
  void* destination;
  unsigned width, height;
  int components, space;
};

constexpr size_t kStructure = 4096;  // more than any version's structures need
enum Space { kGray = 1, kRgb = 2, kCmyk = 4, kYcck = 5, kExtRgb = 6, kExtRgbx = 7, kExtBgr = 8 };

#ifdef MINIMX_CHECK_JPEG
#define SAME(ours, field, theirs, other) \
  static_assert(offsetof(ours, field) == offsetof(theirs, other), #theirs ": " #other " lies elsewhere");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
SAME(Errors, code, jpeg_error_mgr, msg_code)
SAME(Errors, parameters, jpeg_error_mgr, msg_parm)
SAME(Errors, last_more, jpeg_error_mgr, last_addon_message)
static_assert(sizeof(Errors) == sizeof(jpeg_error_mgr));
SAME(Source, fill, jpeg_source_mgr, fill_input_buffer)
SAME(Source, term, jpeg_source_mgr, term_source)
SAME(Decompress, source, jpeg_decompress_struct, src)
SAME(Decompress, width, jpeg_decompress_struct, image_width)
SAME(Decompress, out_space, jpeg_decompress_struct, out_color_space)
SAME(Decompress, dct_method, jpeg_decompress_struct, dct_method)
SAME(Decompress, out_width, jpeg_decompress_struct, output_width)
SAME(Decompress, out_components, jpeg_decompress_struct, output_components)
SAME(Decompress, out_row, jpeg_decompress_struct, output_scanline)
SAME(Compress, destination, jpeg_compress_struct, dest)
SAME(Compress, space, jpeg_compress_struct, in_color_space)
static_assert(sizeof(jpeg_decompress_struct) <= kStructure && sizeof(jpeg_compress_struct) <= kStructure);
#pragma GCC diagnostic pop
#endif

struct Library {
  Errors* (*std_error)(Errors*);
  void (*create_decompress)(Decompress*, int version, size_t size);
  void (*destroy)(Common*);
  void (*abort)(Common*);
  int (*read_header)(Decompress*, int require_image);
  int (*start_decompress)(Decompress*);
  void (*crop)(Decompress*, unsigned* x, unsigned* width);
  unsigned (*skip)(Decompress*, unsigned rows);
  unsigned (*read)(Decompress*, uint8_t** rows, unsigned count);
  int (*resync)(Common*, int desired);
  void (*create_compress)(Compress*, int version, size_t size);
  void (*mem_dest)(Compress*, unsigned char** data, unsigned long* bytes);
  void (*set_defaults)(Compress*);
  void (*set_quality)(Compress*, int quality, int force_baseline);
  void (*start_compress)(Compress*, int write_all);
  unsigned (*write)(Compress*, uint8_t** rows, unsigned count);
  void (*finish_compress)(Compress*);
  int version;
  size_t decompress_size, compress_size;
  std::string path;
};

// ---- errors: libjpeg's would end the process ------------------------------------------------------------------------

struct Handler {
  Errors errors;
  std::jmp_buf jump;
  char message[256];
};

Handler& handler(Common* c) { return *reinterpret_cast<Handler*>(c->errors); }

[[noreturn]] void fail(Common* c) {
  Handler& h = handler(c);
  h.errors.format_message(c, h.message);  // at most 200 characters
  std::longjmp(h.jump, 1);
}

void nothing(Common*) {}
void no_message(Common* c, int level) {
  if (level < 0) ++c->errors->warnings;
}

[[noreturn]] void ends_early(Common* c) {
  std::strcpy(handler(c).message, "the JPEG data ends early");
  std::longjmp(handler(c).jump, 1);
}

int no_more(Common* c) { ends_early(c); }

void skip_bytes(Common* c, long count) {
  Source& s = *static_cast<Decompress*>(c)->source;
  if (count <= 0) return;
  if (static_cast<size_t>(count) > s.left) ends_early(c);
  s.next += count;
  s.left -= static_cast<size_t>(count);
}

void init_handler(const Library& lib, Handler& h) {
  lib.std_error(&h.errors);
  h.errors.error_exit = fail;
  h.errors.output_message = nothing;
  h.errors.emit_message = no_message;
}

// ---- finding the library --------------------------------------------------------------------------------------------

// Version and structure size that a create function accepts: it complains with the number it wants.
template <class Structure>
bool negotiate(const Library& lib, void (*create)(Structure*, int, size_t), int& version, size_t& size) {
  alignas(16) static thread_local char memory[kStructure];
  static thread_local Handler h;
  for (volatile int attempt = 0; attempt < 3; attempt = attempt + 1) {
    std::memset(memory, 0, sizeof memory);
    init_handler(lib, h);
    auto* s = reinterpret_cast<Structure*>(memory);
    s->errors = &h.errors;
    if (setjmp(h.jump) == 0) {
      create(s, version, size);
      lib.destroy(s);
      return true;
    }
    const int wanted = h.errors.parameters.i[0];
    if (h.errors.parameters.i[1] == version && wanted != version && wanted >= 62 && wanted < 100)
      version = wanted;
    else if (wanted > 0 && static_cast<size_t>(wanted) <= kStructure)
      size = static_cast<size_t>(wanted);
    else
      return false;
  }
  return false;
}

bool load(const std::string& path, Library& lib, std::string& why) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    why += (why.empty() ? "" : "; ") + path + ": not found";
    return false;
  }
  bool whole = true;
  auto find = [&](auto& function, const char* name) {
    void* symbol = dlsym(handle, name);
    whole = whole && symbol;
    std::memcpy(&function, &symbol, sizeof symbol);
  };
  find(lib.std_error, "jpeg_std_error");
  find(lib.create_decompress, "jpeg_CreateDecompress");
  find(lib.destroy, "jpeg_destroy");
  find(lib.abort, "jpeg_abort");
  find(lib.read_header, "jpeg_read_header");
  find(lib.start_decompress, "jpeg_start_decompress");
  find(lib.crop, "jpeg_crop_scanline");
  find(lib.skip, "jpeg_skip_scanlines");
  find(lib.read, "jpeg_read_scanlines");
  find(lib.resync, "jpeg_resync_to_restart");
  find(lib.create_compress, "jpeg_CreateCompress");
  find(lib.mem_dest, "jpeg_mem_dest");
  find(lib.set_defaults, "jpeg_set_defaults");
  find(lib.set_quality, "jpeg_set_quality");
  find(lib.start_compress, "jpeg_start_compress");
  find(lib.write, "jpeg_write_scanlines");
  find(lib.finish_compress, "jpeg_finish_compress");
  lib.version = 62;
  lib.decompress_size = 656;
  lib.compress_size = 520;
  if (!whole || !negotiate(lib, lib.create_decompress, lib.version, lib.decompress_size) ||
      !negotiate(lib, lib.create_compress, lib.version, lib.compress_size)) {
    why += (why.empty() ? "" : "; ") + path + ": not libjpeg-turbo 1.5 or newer";
    dlclose(handle);
    return false;
  }
  lib.path = path;
  return true;
}

std::vector<std::string>& given_paths() {
  static auto& paths = *new std::vector<std::string>;
  return paths;
}
std::mutex& library_mutex = *new std::mutex;

// Null when there is none, which is looked into again next time.
const Library* find_library(std::string* why) {
  static Library& library = *new Library;  // threads may still decode when the process ends
  static bool found = false;
  std::lock_guard<std::mutex> lock(library_mutex);
  if (found) return &library;
  std::string reasons;
  std::vector<std::string> paths = given_paths();
#ifdef __APPLE__
  for (const char* name : {"libjpeg.8.dylib", "libjpeg.62.dylib", "libjpeg.dylib"}) paths.emplace_back(name);
#else
  for (const char* name : {"libjpeg.so.62", "libjpeg.so.8", "libjpeg.so"}) paths.emplace_back(name);
#endif
  for (const std::string& path : paths)
    if (load(path, library, reasons)) {
      found = true;
      return &library;
    }
  if (why) *why = reasons;
  return nullptr;
}

const Library& the_library() {
  std::string why;
  if (const Library* lib = find_library(&why)) return *lib;
  throw ImageError(
      "JPEG needs libjpeg-turbo, which this machine lacks: install the system's package (Debian: libjpeg62-turbo) or "
      "`pip install minimx[image]` (" +
      why + ")");
}

// ---- before decoding ------------------------------------------------------------------------------------------------

// Orientation in the EXIF block of an APP1 segment; 1 when there is none.
int exif_orientation(const uint8_t* p, size_t n) {
  if (n < 14 || std::memcmp(p, "Exif\0\0", 6) != 0) return 1;
  p += 6;
  n -= 6;
  const bool little = p[0] == 'I';
  auto u16 = [&](size_t at) -> unsigned { return little ? p[at] | p[at + 1] << 8 : p[at] << 8 | p[at + 1]; };
  auto u32 = [&](size_t at) -> size_t {
    return little ? u16(at) | static_cast<size_t>(u16(at + 2)) << 16 : static_cast<size_t>(u16(at)) << 16 | u16(at + 2);
  };
  const size_t start = u32(4);
  if (start + 2 > n) return 1;
  const unsigned entries = u16(start);
  for (unsigned i = 0; i < entries; ++i) {
    const size_t at = start + 2 + i * 12;
    if (at + 12 > n) return 1;
    if (u16(at) == 0x0112) {
      const unsigned value = u16(at + 8);
      return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
  }
  return 1;
}

// Walks the segments before the first scan.
int find_orientation(const uint8_t* data, size_t bytes) {
  for (size_t at = 2; at + 4 <= bytes && data[at] == 0xff;) {
    const uint8_t marker = data[at + 1];
    if (marker == 0xff) {
      ++at;
      continue;
    }
    if (marker == 0xda) break;
    const size_t length = static_cast<size_t>(data[at + 2] << 8 | data[at + 3]);
    if (length < 2 || at + 2 + length > bytes) break;
    if (marker == 0xe1) {
      const int orientation = exif_orientation(data + at + 4, length - 2);
      if (orientation != 1) return orientation;
    }
    at += 2 + length;
  }
  return 1;
}

// Whether there is an end marker; a reader of a window may never come to where it is missing.
bool has_end(const uint8_t* data, size_t bytes) {
  for (size_t i = bytes; i >= 2; --i)
    if (data[i - 1] == 0xd9 && data[i - 2] == 0xff) return true;
  return false;
}

}  // namespace

void set_jpeg_libraries(const std::vector<std::string>& paths) {
  std::lock_guard<std::mutex> lock(library_mutex);
  given_paths() = paths;
}

std::string jpeg_library(std::string* why) {
  const Library* lib = find_library(why);
  return lib ? lib->path : "";
}

// ---- reading --------------------------------------------------------------------------------------------------------

struct JpegReader::State {
  const Library* lib;
  alignas(16) char memory[kStructure];
  Handler handler;
  Source source;
  bool created = false;
  Pixels wanted = Pixels::rgb;
  int stored = 0;     // components
  bool cmyk = false;  // rows come as CMYK
  std::vector<uint8_t> line;

  Decompress* d() { return reinterpret_cast<Decompress*>(memory); }

  // Runs a step of libjpeg; its errors become exceptions here, where nothing of C++ lies between.
  template <class Step>
  void guarded(Step step) {
    if (setjmp(handler.jump) != 0) {
      lib->abort(d());
      throw ImageError(handler.message);
    }
    step();
  }
};

JpegReader::JpegReader() : state_(new State) { state_->lib = nullptr; }

JpegReader::~JpegReader() {
  if (state_->created) state_->lib->destroy(state_->d());
}

ImageInfo JpegReader::open(const uint8_t* data, size_t bytes) {
  State& s = *state_;
  if (!s.created) {
    s.lib = &the_library();
    std::memset(s.memory, 0, sizeof s.memory);
    init_handler(*s.lib, s.handler);
    s.d()->errors = &s.handler.errors;
    s.guarded([&s] { s.lib->create_decompress(s.d(), s.lib->version, s.lib->decompress_size); });
    s.source = {nullptr, 0, nothing, no_more, skip_bytes, s.lib->resync, nothing};
    s.created = true;
  }
  s.lib->abort(s.d());
  if (bytes < 4 || !has_end(data, bytes)) throw ImageError("the JPEG data ends early");
  s.source.next = data;
  s.source.left = bytes;
  s.d()->source = &s.source;
  s.guarded([&s] { s.lib->read_header(s.d(), 1); });
  const Decompress& d = *s.d();
  const int64_t size = static_cast<int64_t>(d.width) * d.height;
  const std::string shape = std::to_string(d.width) + "x" + std::to_string(d.height);
  // No code is shorter than a few bits per block, so that a header that promises more is damaged.
  if (size > kMaxPixels || size > 65536 + 1024 * static_cast<int64_t>(bytes)) {
    s.lib->abort(s.d());
    throw ImageError("an image of " + shape + " pixels cannot be in " + std::to_string(bytes) + " bytes of JPEG");
  }
  s.stored = d.components;
  return {d.height, d.width, d.components == 1 ? 1 : 3, find_orientation(data, bytes)};
}

int64_t JpegReader::start(Pixels wanted, int64_t top, int64_t left, int64_t right) {
  State& s = *state_;
  s.wanted = wanted == Pixels::stored ? (s.stored == 1 ? Pixels::gray : Pixels::rgb) : wanted;
  Decompress* d = s.d();
  s.cmyk = d->jpeg_space == kCmyk || d->jpeg_space == kYcck;
  d->out_space = s.cmyk ? kCmyk : s.wanted == Pixels::gray ? kGray : s.wanted == Pixels::rgb ? kExtRgb : kExtRgbx;
  const int64_t full = d->width;
  // Upsampling looks at one neighbour on each side.
  constexpr int64_t kMargin = 2;
  left = left > kMargin ? left - kMargin : 0;
  right = right + kMargin < full ? right + kMargin : full;
  unsigned x = static_cast<unsigned>(left), w = static_cast<unsigned>(right - left);
  s.guarded([&s, d, &x, &w, full, top] {
    s.lib->start_decompress(d);
    if (w < full) s.lib->crop(d, &x, &w);
    if (top > 0) s.lib->skip(d, static_cast<unsigned>(top));
  });
  return x;
}

int64_t JpegReader::width() const { return reinterpret_cast<const Decompress*>(state_->memory)->out_width; }
int JpegReader::channels() const { return state_->wanted == Pixels::gray ? 1 : state_->wanted == Pixels::rgb ? 3 : 4; }

void JpegReader::read_row(uint8_t* row) {
  State& s = *state_;
  uint8_t* target = row;
  if (s.cmyk) {
    s.line.resize(static_cast<size_t>(width()) * 4);
    target = s.line.data();
  }
  s.guarded([&s, &target] { s.lib->read(s.d(), &target, 1); });
  if (!s.cmyk) return;
  const int64_t n = width();
  const int out = channels();
  for (int64_t i = 0; i < n; ++i, row += out) {
    const uint8_t* p = target + i * 4;
    const int k = p[3];
    int c[3];
    for (int j = 0; j < 3; ++j) c[j] = k - ((255 - p[j]) * k >> 8);
    if (out == 1) {
      row[0] = static_cast<uint8_t>((c[0] * 4899 + c[1] * 9617 + c[2] * 1868 + 8192) >> 14);
    } else {
      for (int j = 0; j < 3; ++j) row[j] = static_cast<uint8_t>(c[j]);
      if (out == 4) row[3] = 255;
    }
  }
}

void JpegReader::stop() { state_->lib->abort(state_->d()); }

void JpegReader::read_all(Pixels wanted, Image& out) {
  const Decompress* d = state_->d();
  const int64_t h = d->height, w = d->width;
  start(wanted, 0, 0, w);
  out.resize(h, w, channels());
  for (int64_t y = 0; y < h; ++y) read_row(out.row(y));
  stop();
}

// ---- writing --------------------------------------------------------------------------------------------------------

namespace {

struct Writer {
  const Library& lib;
  alignas(16) char memory[kStructure] = {};
  Handler handler;
  unsigned char* data = nullptr;
  unsigned long bytes = 0;
  bool created = false;

  explicit Writer(const Library& l) : lib(l) {}
  ~Writer() {
    if (created) lib.destroy(c());
    std::free(data);
  }
  Compress* c() { return reinterpret_cast<Compress*>(memory); }

  bool run(const uint8_t* pixels, int64_t height, int64_t width, int64_t channels, bool bgr, int quality) {
    if (setjmp(handler.jump) != 0) return false;
    lib.create_compress(c(), lib.version, lib.compress_size);
    created = true;
    lib.mem_dest(c(), &data, &bytes);
    c()->width = static_cast<unsigned>(width);
    c()->height = static_cast<unsigned>(height);
    c()->components = static_cast<int>(channels);
    c()->space = channels == 1 ? kGray : bgr ? kExtBgr : kExtRgb;
    lib.set_defaults(c());
    lib.set_quality(c(), quality, 1);
    lib.start_compress(c(), 1);
    for (int64_t y = 0; y < height; ++y) {
      auto* row = const_cast<uint8_t*>(pixels + y * width * channels);
      lib.write(c(), &row, 1);
    }
    lib.finish_compress(c());
    return true;
  }
};

}  // namespace

std::vector<uint8_t> encode_jpeg(const uint8_t* pixels, int64_t height, int64_t width, int64_t channels, bool bgr,
                                 int quality) {
  if ((channels != 1 && channels != 3) || height < 1 || width < 1 || height > 65500 || width > 65500)
    throw ImageError("JPEG takes 1 or 3 channels and 1 to 65500 rows and columns, got " + std::to_string(height) + "x" +
                     std::to_string(width) + " with " + std::to_string(channels) + " channels");
  Writer writer(the_library());
  init_handler(writer.lib, writer.handler);
  writer.c()->errors = &writer.handler.errors;
  if (!writer.run(pixels, height, width, channels, bgr, quality)) throw ImageError(writer.handler.message);
  return std::vector<uint8_t>(writer.data, writer.data + writer.bytes);
}

}  // namespace minimx
