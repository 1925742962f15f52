// Factorisations and systems of equations with small matrices, float32 and float64: potrf, trsm, invert, slogdet,
// gelqf, syevd. Matrices are square and row-major unless said otherwise, and lie one after the other.
#pragma once
#include "../kernel.h"

namespace minimx {

// potrf. Buffers: a, l. a = l l^T with l lower triangular (zeros above); only the lower triangle of a is read.
//
// invert. Buffers: a, inverse, sign, logdet, scratch (batch x rows x rows elements). sign and logdet have one element
// per matrix, det a = sign exp(logdet). A singular matrix has sign 0 and logdet -inf, and an inverse that is not
// finite.
//
// slogdet. The same without the inverse. Buffers: a, sign, logdet, scratch (as above).
//
// gelqf. Buffers: a, q, l. a = l q for a rows x columns matrix, rows <= columns, with l lower triangular and the rows
// of q orthonormal. The diagonal of l is positive.
//
// syevd. Buffers: a, u, values, scratch (batch x rows x rows elements). a = u^T diag(values) u for symmetric a (the
// lower triangle is read). Values ascend; the element of largest magnitude in each row of u is positive.
struct FactorArgs {
  int64_t batch;
  int64_t rows;
  int64_t columns;
};
MINIMX_ARGS(FactorArgs, batch, rows, columns)

// trsm. Buffers: a, b, x, scratch (for each thread 128 bytes for each row of a). Solves op(a) x = alpha b, or x op(a) =
// alpha b when rightside is 1, for triangular a; op transposes when `transpose` is 1. b and x are rows x columns; lower
// says which triangle of a is read.
struct TriangularArgs {
  int64_t batch;
  int64_t rows;
  int64_t columns;
  int64_t transpose;
  int64_t rightside;
  int64_t lower;
  double alpha;
};
MINIMX_ARGS(TriangularArgs, batch, rows, columns, transpose, rightside, lower, alpha)

}  // namespace minimx
