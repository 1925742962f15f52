// The kernels of args/detection.h for both devices: a team of workers for each image of the batch.
//
// Included by csrc/cpu/detection.cpp after each.h, and by csrc/cuda/detection.cu after each.cuh.
#pragma once
#include "args/detection.h"
#include "boxes.h"

namespace minimx {
namespace {

// ---- box_nms, bipartite_matching -----------------------------------------------------------------------------------

template <class T>
struct BoxNms {
  BoxNmsArgs a;
  const T* data;
  T* out;
  int64_t* slots;
  int64_t* whole;
  T* parts;

  EACH_DEVICE void operator()(const Team& team, int64_t image) const {
    const int64_t n = a.boxes;
    const T* from = data + image * n * a.width;
    T *to = out + image * n * a.width, *keys = parts + image * n * 7;
    int64_t *order = whole + image * n * 2, *work = order + n, *slot = slots + image * n;
    const Boxes<T> boxes = Boxes<T>::in(keys + n, n);
    team.each(n, [&](int64_t i) {
      const T* row = from + i * a.width;
      const T score = row[a.score_index];
      const bool background = a.id_index >= 0 && row[a.id_index] == static_cast<T>(a.background_id);
      keys[i] = score > static_cast<T>(a.valid_thresh) && !background ? score : nothing<T>();
      slot[i] = -1;
    });
    team.sort(keys, order, work, n);
    int64_t valid = above(keys, order, n, nothing<T>());
    if (a.topk > 0 && a.topk < valid) valid = a.topk;
    team.each(valid, [&](int64_t i) {
      const T* row = from + order[i] * a.width;
      T c[4];
      to_corners(row + a.coord_start, a.in_center != 0, c);
      boxes.set(i, c[0], c[1], c[2], c[3], a.id_index >= 0 ? row[a.id_index] : T(0));
    });
    const bool any = a.force_suppress || a.id_index < 0;
    suppress(team, boxes, valid, static_cast<T>(a.overlap_thresh), any, true, T(0), valid);
    team.once([&] {
      int64_t kept = 0;
      for (int64_t i = 0; i < valid; ++i)
        if (boxes.alive[i] != 0) slot[order[i]] = kept++;
      work[0] = kept;
    });
    const int64_t kept = n ? work[0] : 0;
    team.each(n, [&](int64_t i) {
      if (i >= kept)
        for (int64_t k = 0; k < a.width; ++k) to[i * a.width + k] = -1;
      if (slot[i] < 0) return;
      T* row = to + slot[i] * a.width;
      for (int64_t k = 0; k < a.width; ++k) row[k] = from[i * a.width + k];
      if (a.in_center == a.out_center) return;
      T c[4];
      to_corners(row + a.coord_start, a.in_center != 0, c);
      for (int64_t k = 0; k < 2; ++k) {
        row[a.coord_start + k] = a.out_center ? (c[k] + c[k + 2]) / 2 : c[k];
        row[a.coord_start + k + 2] = a.out_center ? c[k + 2] - c[k] : c[k + 2];
      }
    });
  }
};

template <class T>
struct PullRows {
  PullRowsArgs a;
  const T* source;
  const int64_t* slots;
  T* out;

  EACH_DEVICE void operator()(int64_t i) const {
    const int64_t row = i / a.width, from = slots[row];
    out[i] = from < 0 ? T(0) : source[(row / a.rows * a.rows + from) * a.width + i % a.width];
  }
};

template <class T>
struct Matching {
  MatchingArgs a;
  const T* scores;
  T* rows;
  T* columns;
  int64_t* whole;
  T* parts;

  EACH_DEVICE void operator()(const Team& team, int64_t image) const {
    const int64_t n = a.rows * a.columns;
    const T* score = scores + image * n;
    T *row = rows + image * a.rows, *column = columns + image * a.columns, *keys = parts + image * n;
    int64_t *order = whole + image * 2 * n, *work = order + n;
    const T sign = a.is_ascend ? T(-1) : T(1), least = sign * static_cast<T>(a.threshold);
    team.each(a.rows, [&](int64_t i) { row[i] = -1; });
    team.each(a.columns, [&](int64_t i) { column[i] = -1; });
    team.each(n, [&](int64_t i) { keys[i] = score[i] == score[i] ? sign * score[i] : nothing<T>(); });
    team.sort(keys, order, work, n);
    team.once([&] {
      int64_t matched = 0;
      for (int64_t k = 0; k < n && (a.topk <= 0 || matched < a.topk); ++k) {
        const int64_t r = order[k] / a.columns, c = order[k] % a.columns;
        if (!(keys[order[k]] > least)) break;
        if (row[r] != -1 || column[c] != -1) continue;
        row[r] = static_cast<T>(c);
        column[c] = static_cast<T>(r);
        ++matched;
      }
    });
  }
};

// ---- kernels -------------------------------------------------------------------------------------------------------

template <class T>
void box_nms(const BoxNmsArgs& a, void* const* b, const Context& c) {
  const Scratch<T> s(b, 3, a.batch * a.boxes * 2, c);
  const BoxNms<T> one = {a,      operand<const T>(b, 0, c), operand<T>(b, 1, c), operand<int64_t>(b, 2, c), s.whole,
                         s.parts};
  for_each_team(c, a.batch, one);
}
template <class T>
void pull_rows(const PullRowsArgs& a, void* const* b, const Context& c) {
  for_each(c, a.batch * a.rows * a.width,
           PullRows<T>{a, operand<const T>(b, 0, c), operand<const int64_t>(b, 1, c), operand<T>(b, 2, c)});
}
template <class T>
void bipartite_matching(const MatchingArgs& a, void* const* b, const Context& c) {
  const Scratch<T> s(b, 3, a.batch * a.rows * a.columns * 2, c);
  const Matching<T> one = {a, operand<const T>(b, 0, c), operand<T>(b, 1, c), operand<T>(b, 2, c), s.whole, s.parts};
  for_each_team(c, a.batch, one);
}

}  // namespace
}  // namespace minimx

#define DETECTION_KERNELS                                                                                \
  KERNELS(detection, TYPED("box_nms", box_nms, BoxNmsArgs), TYPED("pull_rows", pull_rows, PullRowsArgs), \
          TYPED("bipartite_matching", bipartite_matching, MatchingArgs))
