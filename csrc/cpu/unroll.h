// How far the innermost loops of products are written out.
#pragma once
#include "simd.h"

namespace minimx {
namespace {

// Terms that are written out one after the other. Where registers allow small tiles only, counting and jumping are an
// eighth of the instructions: that costs nothing while a thread has its core alone, and 5 to 10 % while the core's
// other thread is at work, too.
#if MINIMX_VECTOR_BYTES == 64 || defined(__aarch64__)
constexpr int kUnrolledTerms = 1;
#else
constexpr int kUnrolledTerms = 4;
#endif

}  // namespace
}  // namespace minimx
