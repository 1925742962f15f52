// conv: convolution and its two gradients as products by tiles (tile.cuh) whose factors are gathered while they are
// loaded; the unfolded input is never written.
#include "../args/conv.h"
#include "tile.cuh"

namespace minimx {
namespace cuda {
namespace {

// Everything below counts channels and filters of one group; `batch` of a product counts the groups.
struct Geometry {
  int64_t images, channels, filters, groups;
  int32_t in[3], out[3], kernel[3], stride[3], dilate[3], pad[3];
  int32_t in_size, out_size, taps;

  // Position in the input that output `o` sees through tap `t`, or -1 where that is padding.
  __device__ int64_t input_at(int32_t o, int32_t t) const {
    int32_t place[3];
    for (int d = 2; d >= 0; --d) {
      place[d] = o % out[d] * stride[d] - pad[d] + t % kernel[d] * dilate[d];
      if (place[d] < 0 || place[d] >= in[d]) return -1;
      o /= out[d];
      t /= kernel[d];
    }
    return (static_cast<int64_t>(place[0]) * in[1] + place[1]) * in[2] + place[2];
  }
  // The output that sees input `i` through tap `t`, or -1 where none does.
  __device__ int64_t output_at(int32_t i, int32_t t) const {
    int32_t place[3];
    for (int d = 2; d >= 0; --d) {
      const int32_t from = i % in[d] + pad[d] - t % kernel[d] * dilate[d];
      if (from < 0 || from % stride[d] != 0 || from / stride[d] >= out[d]) return -1;
      place[d] = from / stride[d];
      i /= in[d];
      t /= kernel[d];
    }
    return (static_cast<int64_t>(place[0]) * out[1] + place[1]) * out[2] + place[2];
  }
};

// Where channel c of image b begins in an array with `per_group` channels a group.
__device__ inline int64_t plane(const Geometry& g, int64_t b, int64_t group, int64_t c, int64_t per_group,
                                int64_t size) {
  return ((b * g.groups + group) * per_group + c) * size;
}

// filters x (images, outputs), summed over (channels, taps)
template <class T>
struct Forward : Geometry {
  static constexpr bool kLeftAlong = true, kRightAlong = false;
  const T *x, *w, *bias, *residual, *scale;
  T* y;
  int64_t activation, batch, m, n, k;

  __device__ T left(int64_t group, int64_t filter, int64_t term) const { return w[(group * m + filter) * k + term]; }
  __device__ T right(int64_t group, int64_t term, int64_t column) const {
    const int64_t at = input_at(static_cast<int32_t>(column % out_size), static_cast<int32_t>(term % taps));
    return at < 0 ? T(0) : x[plane(*this, column / out_size, group, term / taps, channels, in_size) + at];
  }
  __device__ void finish(int64_t group, int64_t filter, int64_t column, T sum) const {
    const int64_t at = plane(*this, column / out_size, group, filter, filters, out_size) + column % out_size;
    if (scale) sum *= scale[group * filters + filter];
    if (bias) sum += bias[group * filters + filter];
    if (residual) sum += residual[at];
    y[at] = activate(sum, activation);
  }
};

// channels x (images, inputs), summed over (filters, taps)
template <class T>
struct DataGradient : Geometry {
  static constexpr bool kLeftAlong = true, kRightAlong = false;
  const T *dy, *w;
  T* dx;
  int64_t batch, m, n, k;

  __device__ T left(int64_t group, int64_t channel, int64_t term) const {
    return w[((group * filters + term / taps) * channels + channel) * taps + term % taps];
  }
  __device__ T right(int64_t group, int64_t term, int64_t column) const {
    const int64_t at = output_at(static_cast<int32_t>(column % in_size), static_cast<int32_t>(term % taps));
    return at < 0 ? T(0) : dy[plane(*this, column / in_size, group, term / taps, filters, out_size) + at];
  }
  __device__ void finish(int64_t group, int64_t channel, int64_t column, T sum) const {
    dx[plane(*this, column / in_size, group, channel, channels, in_size) + column % in_size] = sum;
  }
};

// filters x (channels, taps), summed over (images, outputs)
template <class T>
struct WeightGradient : Geometry {
  static constexpr bool kLeftAlong = true, kRightAlong = true;
  const T *x, *dy;
  T* dw;
  int64_t batch, m, n, k;

  __device__ T left(int64_t group, int64_t filter, int64_t term) const {
    return dy[plane(*this, term / out_size, group, filter, filters, out_size) + term % out_size];
  }
  __device__ T right(int64_t group, int64_t term, int64_t column) const {
    const int64_t at = input_at(static_cast<int32_t>(term % out_size), static_cast<int32_t>(column % taps));
    return at < 0 ? T(0) : x[plane(*this, term / out_size, group, column / taps, channels, in_size) + at];
  }
  __device__ void finish(int64_t group, int64_t filter, int64_t column, T sum) const {
    dw[(group * m + filter) * n + column] = sum;
  }
};

Geometry geometry(const ConvArgs& a) {
  Geometry g{};
  g.images = a.batch;
  g.channels = a.channels / a.groups;
  g.filters = a.filters / a.groups;
  g.groups = a.groups;
  g.in_size = g.out_size = g.taps = 1;
  const auto narrow = [](int64_t n) { return static_cast<int32_t>(n); };
  for (int d = 0; d < 3; ++d) {
    g.in_size *= g.in[d] = narrow(a.in[d]);
    g.out_size *= g.out[d] = narrow(a.out[d]);
    g.taps *= g.kernel[d] = narrow(a.kernel[d]);
    g.stride[d] = narrow(a.stride[d]);
    g.dilate[d] = narrow(a.dilate[d]);
    g.pad[d] = narrow(a.pad[d]);
  }
  return g;
}

template <class T>
void conv_forward(const ConvArgs& a, void* const* buffers, const Context& context) {
  const Geometry g = geometry(a);
  launch_multiply<T>(
      Forward<T>{g, input<T>(buffers, 0, context), input<T>(buffers, 1, context), input<T>(buffers, 2, context),
                 input<T>(buffers, 3, context), input<T>(buffers, 4, context), output<T>(buffers, 5, context),
                 a.activation, g.groups, g.filters, g.images * g.out_size, g.channels * g.taps},
      context);
}

template <class T>
void conv_data_gradient(const ConvArgs& a, void* const* buffers, const Context& context) {
  const Geometry g = geometry(a);
  launch_multiply<T>(
      DataGradient<T>{g, input<T>(buffers, 0, context), input<T>(buffers, 1, context), output<T>(buffers, 2, context),
                      g.groups, g.channels, g.images * g.in_size, g.filters * g.taps},
      context);
}

template <class T>
void conv_weight_gradient(const ConvArgs& a, void* const* buffers, const Context& context) {
  const Geometry g = geometry(a);
  launch_multiply<T>(
      WeightGradient<T>{g, input<T>(buffers, 0, context), input<T>(buffers, 1, context), output<T>(buffers, 2, context),
                        g.groups, g.filters, g.channels * g.taps, g.images * g.out_size},
      context);
}

}  // namespace
}  // namespace cuda
}  // namespace minimx

KERNELS(conv, KERNEL("conv_forward.float32", conv_forward<float>, ConvArgs),
        KERNEL("conv_forward.float64", conv_forward<double>, ConvArgs),
        KERNEL("conv_data_gradient.float32", conv_data_gradient<float>, ConvArgs),
        KERNEL("conv_data_gradient.float64", conv_data_gradient<double>, ConvArgs),
        KERNEL("conv_weight_gradient.float32", conv_weight_gradient<float>, ConvArgs),
        KERNEL("conv_weight_gradient.float64", conv_weight_gradient<double>, ConvArgs))
