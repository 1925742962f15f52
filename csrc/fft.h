// The kernels of args/fft.h for both devices: a team of workers for each row.
//
// The transform grows by one prime factor r at a time: from transforms of length L of every (n/L)-th element to those
// of length r·L, out of place, so that nothing has to be put in order afterwards.
//
// Included by csrc/cpu/fft.cpp after each.h, and by csrc/cuda/fft.cu after each.cuh.
#pragma once
#include "args/fft.h"

namespace minimx {
namespace {

constexpr double kTurn = 6.283185307179586476925286766559;

template <class T>
struct Twiddles {
  int64_t n;
  T* cosine;
  T* sine;

  EACH_DEVICE void operator()(int64_t k) const {
    const double angle = kTurn * static_cast<double>(k) / static_cast<double>(n);
    cosine[k] = static_cast<T>(cos(angle));
    sine[k] = static_cast<T>(sin(angle));
  }
};

// Inverse: from complex numbers to real parts; otherwise from real numbers to complex ones.
template <class T, bool Inverse>
struct Transform {
  FftArgs a;
  const T* x;
  T* y;
  const T* cosine;
  const T* sine;
  T* work;

  EACH_DEVICE void operator()(const Team& team, int64_t row) const {
    const int64_t n = a.n;
    const T* in = x + row * (Inverse ? 2 * n : n);
    T* out = y + row * (Inverse ? n : 2 * n);
    T *real = work + row * 4 * n, *imaginary = real + n, *next_real = imaginary + n, *next_imaginary = next_real + n;
    team.each(n, [&](int64_t i) {
      real[i] = Inverse ? in[2 * i] : in[i];
      imaginary[i] = Inverse ? in[2 * i + 1] : T(0);
    });
    int64_t factor = 2;
    for (int64_t length = 1; length < n; length *= factor) {
      while (n / length % factor) ++factor;
      const int64_t longer = length * factor, stride = n / longer;
      team.each(longer, [&](int64_t k) {
        const T *from_real = real + k % length * (n / length), *from_imaginary = imaginary + k % length * (n / length);
        T *to_real = next_real + k * stride, *to_imaginary = next_imaginary + k * stride;
        for (int64_t p = 0; p < stride; ++p) {
          to_real[p] = from_real[p];
          to_imaginary[p] = from_imaginary[p];
        }
        for (int64_t q = 1; q < factor; ++q) {
          const int64_t turn = k * q % longer * stride;
          const T c = cosine[turn], s = Inverse ? sine[turn] : -sine[turn];
          const T *u = from_real + q * stride, *v = from_imaginary + q * stride;
          for (int64_t p = 0; p < stride; ++p) {
            to_real[p] += c * u[p] - s * v[p];
            to_imaginary[p] += c * v[p] + s * u[p];
          }
        }
      });
      T* kept = real;
      real = next_real;
      next_real = kept;
      kept = imaginary;
      imaginary = next_imaginary;
      next_imaginary = kept;
    }
    team.each(n, [&](int64_t i) {
      if (Inverse) {
        out[i] = real[i];
      } else {
        out[2 * i] = real[i];
        out[2 * i + 1] = imaginary[i];
      }
    });
  }
};

template <class T, bool Inverse>
void transform(const FftArgs& a, void* const* b, const Context& c) {
  T* scratch = operand<T>(b, 2, c);
  for_each(c, a.n, Twiddles<T>{a.n, scratch, scratch + a.n}, 64);
  const Transform<T, Inverse> one = {
      a, operand<const T>(b, 0, c), operand<T>(b, 1, c), scratch, scratch + a.n, scratch + 2 * a.n};
  for_each_team(c, a.rows, one);
}
template <class T>
void fft(const FftArgs& a, void* const* b, const Context& c) {
  transform<T, false>(a, b, c);
}
template <class T>
void ifft(const FftArgs& a, void* const* b, const Context& c) {
  transform<T, true>(a, b, c);
}

}  // namespace
}  // namespace minimx

#define FFT_KERNELS KERNELS(fft, TYPED("fft", fft, FftArgs), TYPED("ifft", ifft, FftArgs))
