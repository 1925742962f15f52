// How the products of a call are cut between threads.
#pragma once
#include "../args/gemm.h"
#include "gemm_block.h"

namespace minimx {
namespace {

// Below this many multiply-adds a task is not worth handing to another thread.
constexpr int64_t kTaskWork = 250000;

// A part of the rows or columns of a product, which is again a product.
template <class P>
P rows_of(P t, int64_t begin, int64_t end) {
  t.m = end - begin;
  t.a += begin * t.a_row;
  t.c += begin * t.ldc;
  if (t.row_bias) t.row_bias += begin;
  if (t.residual) t.residual += begin * t.ldc;
  return t;
}
template <class P>
P columns_of(P t, int64_t begin, int64_t end) {
  t.n = end - begin;
  t.b += begin * t.b_column;
  t.c += begin;
  if (t.column_bias) t.column_bias += begin;
  if (t.residual) t.residual += begin;
  return t;
}

// c^T = B^T·A^T, for one column: a row is what the tiles like. One row packs next to nothing, so that the scratch asked
// for the product as it was suffices.
inline bool is_better_turned(const GemmArgs& g) { return g.n == 1 && g.ldc == 1 && g.trans_a && g.lda != 1; }
template <class P>
P turned(const P& t) {
  return {t.n,     t.m, t.k, t.b,        t.b_column,    t.b_k,      t.a,         t.a_k,
          t.a_row, t.c, t.m, t.row_bias, t.column_bias, t.residual, t.activation};
}

struct Grid {
  int64_t rows, columns;
};
// Cuts a product into parts for `workers`: one each, or several when it is so large that a worker may lose its core to
// somebody else meanwhile. Every part packs for itself what it reads, so the best parts are the squarest ones.
inline Grid cut(int64_t rows, int64_t column_units, int64_t work, int64_t workers, int64_t unit) {
  const int64_t share = work / workers;
  const int64_t parts = lesser(work / kTaskWork, workers * (share > 1600000000 ? 4 : share > 100000000 ? 2 : 1));
  Grid best = {1, 1};
  int64_t least = INT64_MAX;
  for (int64_t r = 1; r <= parts && r <= rows; ++r) {
    const int64_t c = lesser(parts / r, column_units);
    if (r * c < best.rows * best.columns) continue;
    const int64_t reads = c * rows + r * column_units * unit;
    if (r * c > best.rows * best.columns || reads < least) {
      best = {r, c};
      least = reads;
    }
  }
  return best;
}

// The first product of a call.
template <class T, class Bias>
Product<T, Bias> first_product(const GemmArgs& g, void* const* buffers) {
  const Bias* bias = static_cast<const Bias*>(buffers[2]);
  return {g.m,
          g.n,
          g.k,
          static_cast<const T*>(buffers[0]),
          g.trans_a ? 1 : g.lda,
          g.trans_a ? g.lda : 1,
          static_cast<const T*>(buffers[1]),
          g.trans_b ? 1 : g.ldb,
          g.trans_b ? g.ldb : 1,
          static_cast<T*>(buffers[4]),
          g.ldc,
          g.bias_axis == 1 ? bias : nullptr,
          g.bias_axis == 2 ? bias : nullptr,
          static_cast<const T*>(buffers[3]),
          g.activation};
}

// Calls multiply(product, thread) for all products of a call, or parts of them; columns are cut in whole units.
//
// How a product is cut must decide nothing about its result: every element is summed in the order of k, or by `dots`,
// and which of the two it is follows from the whole shape.
template <class P, class Multiply>
void share_out(const GemmArgs& g, const P& all, bool turn, int64_t unit, const Context& context,
               const Multiply& multiply) {
  const int64_t work = all.m * all.n * (all.k + 1), units = ceil_div(all.n, unit);
  Grid grid = {1, 1};
  if (context.threads > 1 && g.batch < 4 * context.threads && work >= 2 * kTaskWork)
    grid = cut(all.m, units, work, ceil_div(context.threads, g.batch), unit);
  const int64_t cuts = grid.rows * grid.columns;
  const int64_t together = cuts > 1 ? 1 : 1 + kTaskWork / work;  // products per task
  const int64_t tasks = ceil_div(g.batch, together) * cuts;
  parallel(context, tasks, [&](int64_t task, int thread) {
    const int64_t first = task / cuts * together, last = lesser(first + together, g.batch);
    const int64_t row = task % cuts / grid.columns, column = task % cuts % grid.columns;
    P part = all;
    if (grid.rows > 1) part = rows_of(part, begin_of(row, all.m, grid.rows), begin_of(row + 1, all.m, grid.rows));
    if (grid.columns > 1)
      part = columns_of(part, begin_of(column, units, grid.columns) * unit,
                        lesser(begin_of(column + 1, units, grid.columns) * unit, all.n));
    for (int64_t q = first; q < last; ++q) {
      P one = part;
      one.a += q * (turn ? g.batch_b : g.batch_a);
      one.b += q * (turn ? g.batch_a : g.batch_b);
      one.c += q * g.batch_c;
      if (one.residual) one.residual += q * g.batch_c;
      multiply(one, thread);
    }
  });
}

}  // namespace
}  // namespace minimx
