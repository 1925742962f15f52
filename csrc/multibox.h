// The kernels of args/multibox.h for both devices: a team of workers for each image of the batch.
//
// Included by csrc/cpu/multibox.cpp after each.h, and by csrc/cuda/multibox.cu after each.cuh.
#pragma once
#include "args/multibox.h"
#include "boxes.h"

namespace minimx {
namespace {

// ---- MultiBox ------------------------------------------------------------------------------------------------------

template <class T>
struct MultiBoxTarget {
  MultiBoxTargetArgs a;
  const T* anchor;
  const T* label;
  const T* cls_pred;
  T* loc_target;
  T* loc_mask;
  T* cls_target;
  T* parts;
  int64_t* whole;

  enum : int64_t { kUndecided = -1, kNegative = 0, kPositive = 1 };

  EACH_DEVICE void operator()(const Team& team, int64_t image) const {
    const int64_t n = a.anchors, m = a.labels;
    const T* labels = label + image * m * a.label_width;
    T* overlaps = parts + image * (n * (m + 3) + m);  // (label, anchor)
    T *best = overlaps + n * m, *keys = best + n, *spare = keys + n;
    int64_t *state = whole + image * (4 * n + m), *match = state + n, *taken = match + n, *order = taken + m;
    int64_t objects = 0;
    while (objects < m && labels[objects * a.label_width] != -1) ++objects;
    team.each(n, [&](int64_t j) {
      state[j] = kUndecided;
      match[j] = -1;
      best[j] = -1;
      const T* box = anchor + j * 4;
      for (int64_t k = 0; k < objects; ++k) {
        const T* object = labels + k * a.label_width + 1;
        const T much = overlap(box[0], box[1], box[2], box[3], object[0], object[1], object[2], object[3], T(0));
        overlaps[k * n + j] = much;
        if (much > best[j]) {
          best[j] = much;
          match[j] = k;
        }
      }
    });
    team.each(objects, [&](int64_t k) { taken[k] = 0; });
    // Every object takes the anchor it overlaps most with, the largest overlap of all first.
    for (int64_t round = 0; round < objects; ++round) {
      const int64_t found = team.best(objects * n, static_cast<T>(1e-6), [&](int64_t i) {
        return taken[i / n] || state[i % n] == kPositive ? T(-1) : overlaps[i];
      });
      if (found < 0) break;
      team.once([&] {
        taken[found / n] = 1;
        state[found % n] = kPositive;
        match[found % n] = found / n;
        best[found % n] = overlaps[found];
      });
    }
    if (objects && a.overlap_threshold > 0)
      team.each(n, [&](int64_t j) {
        if (state[j] != kPositive && best[j] > static_cast<T>(a.overlap_threshold)) state[j] = kPositive;
      });
    if (objects && a.negative_mining_ratio > 0) {
      team.once([&] {
        int64_t count = 0;
        for (int64_t j = 0; j < n; ++j) count += state[j] == kPositive;
        spare[0] = static_cast<T>(count);
      });
      const int64_t positive_count = static_cast<int64_t>(spare[0]);
      int64_t wanted = static_cast<int64_t>(static_cast<double>(positive_count) * a.negative_mining_ratio);
      if (wanted < a.minimum_negative_samples) wanted = a.minimum_negative_samples;
      if (wanted > n - positive_count) wanted = n - positive_count;
      // The least certain that there is nothing come first.
      team.each(n, [&](int64_t j) {
        const bool candidate = state[j] != kPositive && best[j] < static_cast<T>(a.negative_mining_thresh);
        keys[j] = candidate ? -background(image, j) : nothing<T>();
      });
      team.sort(keys, order, order + n, n);
      team.each(wanted, [&](int64_t i) {
        if (keys[order[i]] > nothing<T>()) state[order[i]] = kNegative;
      });
    } else {
      team.each(n, [&](int64_t j) {
        if (state[j] != kPositive && objects) state[j] = kNegative;
      });
    }
    team.each(n, [&](int64_t j) { assign(image, j, state[j], match[j], labels); });
  }

  // The probability of class 0.
  EACH_DEVICE T background(int64_t image, int64_t j) const {
    const T* scores = cls_pred + image * a.classes * a.anchors + j;
    T top = scores[0], sum = 0;
    for (int64_t k = 1; k < a.classes; ++k) top = larger(top, scores[k * a.anchors]);
    for (int64_t k = 0; k < a.classes; ++k) sum += exp(scores[k * a.anchors] - top);
    const T share = exp(scores[0] - top) / sum;
    return share == share ? share : T(1);
  }

  EACH_DEVICE void assign(int64_t image, int64_t j, int64_t state, int64_t match, const T* labels) const {
    const int64_t at = image * a.anchors + j;
    T *target = loc_target + at * 4, *mask = loc_mask + at * 4;
    cls_target[at] = state == kNegative ? T(0) : static_cast<T>(a.ignore_label);
    for (int64_t k = 0; k < 4; ++k) target[k] = mask[k] = 0;
    if (state != kPositive) return;
    const T* object = labels + match * a.label_width;
    const T* box = anchor + j * 4;
    const T wide = box[2] - box[0], high = box[3] - box[1];
    cls_target[at] = object[0] + 1;
    target[0] = ((object[1] + object[3]) - (box[0] + box[2])) / 2 / wide / static_cast<T>(a.variance_x);
    target[1] = ((object[2] + object[4]) - (box[1] + box[3])) / 2 / high / static_cast<T>(a.variance_y);
    target[2] = log((object[3] - object[1]) / wide) / static_cast<T>(a.variance_width);
    target[3] = log((object[4] - object[2]) / high) / static_cast<T>(a.variance_height);
    for (int64_t k = 0; k < 4; ++k) mask[k] = 1;
  }
};

template <class T>
struct MultiBoxDetection {
  MultiBoxDetectionArgs a;
  const T* cls_prob;
  const T* loc_pred;
  const T* anchor;
  T* out;
  int64_t* whole;
  T* parts;

  EACH_DEVICE void operator()(const Team& team, int64_t image) const {
    const int64_t n = a.anchors;
    T *to = out + image * n * 6, *keys = parts + image * n * 7;
    int64_t *order = whole + image * n * 3, *kinds = order + n;
    const Boxes<T> boxes = Boxes<T>::in(keys + n, n);
    team.each(n, [&](int64_t j) {
      T score = -1;
      int64_t kind = 0;
      for (int64_t k = 1; k < a.classes; ++k) {
        const T probability = cls_prob[(image * a.classes + k) * n + j];
        if (probability > score) {
          score = probability;
          kind = k;
        }
      }
      kinds[j] = score < static_cast<T>(a.threshold) ? 0 : kind;
      keys[j] = kinds[j] > 0 ? score : nothing<T>();
    });
    // What was found in the order of anchors; then the best first, unless there is no suppression.
    team.once([&] {
      int64_t found = 0;
      for (int64_t j = 0; j < n; ++j)
        if (kinds[j] > 0) order[found++] = j;
      if (n) boxes.alive[0] = static_cast<T>(found);
    });
    const int64_t found = n ? static_cast<int64_t>(boxes.alive[0]) : 0;
    team.each(n, [&](int64_t i) {
      T* row = to + i * 6;
      if (i < found)
        describe(image, order[i], kinds[order[i]], row);
      else
        for (int64_t k = 0; k < 6; ++k) row[k] = -1;
    });
    if (found == 0 || a.nms_threshold <= 0 || a.nms_threshold > 1) return;
    const int64_t kept = a.nms_topk > 0 && a.nms_topk < found ? a.nms_topk : found;
    team.sort(keys, order, kinds + n, n);
    team.each(found, [&](int64_t i) {
      T* row = to + i * 6;
      if (i >= kept) {
        row[0] = -1;
        return;
      }
      describe(image, order[i], kinds[order[i]], row);
      boxes.set(i, row[2], row[3], row[4], row[5], row[0]);
    });
    suppress(team, boxes, kept, static_cast<T>(a.nms_threshold), a.force_suppress != 0, false, T(0), kept);
    team.each(kept, [&](int64_t i) {
      if (boxes.alive[i] == 0) to[i * 6] = -1;
    });
  }

  EACH_DEVICE T within(T x) const { return a.clip ? (x < 0 ? T(0) : x > 1 ? T(1) : x) : x; }

  EACH_DEVICE void describe(int64_t image, int64_t j, int64_t kind, T* row) const {
    const T *box = anchor + j * 4, *moved = loc_pred + (image * a.anchors + j) * 4;
    const T wide = box[2] - box[0], high = box[3] - box[1];
    const T x = moved[0] * static_cast<T>(a.variance_x) * wide + (box[0] + box[2]) / 2;
    const T y = moved[1] * static_cast<T>(a.variance_y) * high + (box[1] + box[3]) / 2;
    const T half_wide = exp(moved[2] * static_cast<T>(a.variance_width)) * wide / 2;
    const T half_high = exp(moved[3] * static_cast<T>(a.variance_height)) * high / 2;
    row[0] = static_cast<T>(kind - 1);
    row[1] = cls_prob[(image * a.classes + kind) * a.anchors + j];
    row[2] = within(x - half_wide);
    row[3] = within(y - half_high);
    row[4] = within(x + half_wide);
    row[5] = within(y + half_high);
  }
};

// ---- Proposal ------------------------------------------------------------------------------------------------------

template <class T>
struct Proposal {
  ProposalArgs a;
  const T* scores;
  const T* deltas;
  const T* info;
  const T* base;
  T* out;
  T* score;
  int64_t* whole;
  T* parts;

  EACH_DEVICE void operator()(const Team& team, int64_t image) const {
    const int64_t n = a.anchors * a.height * a.width;
    T* keys = parts + image * n * 7;
    int64_t *order = whole + image * n * 2, *work = order + n;
    const Boxes<T> boxes = Boxes<T>::in(keys + n, n);
    team.each(n, [&](int64_t i) {
      T c[4];
      keys[i] = place(image, i, c);
    });
    team.sort(keys, order, work, n);
    const int64_t taken = a.pre_nms > 0 && a.pre_nms < n ? a.pre_nms : n;
    team.each(taken, [&](int64_t i) {
      T c[4];
      place(image, order[i], c);
      boxes.set(i, c[0], c[1], c[2], c[3], T(0));
    });
    suppress(team, boxes, taken, static_cast<T>(a.threshold), true, true, T(1), a.post_nms);
    team.once([&] {
      int64_t kept = 0;
      for (int64_t i = 0; i < taken && kept < a.post_nms; ++i)
        if (boxes.alive[i] != 0) work[kept++] = i;
      for (int64_t i = kept; i < n; ++i) work[i] = -1;
    });
    int64_t kept = 0;
    while (kept < n && kept < a.post_nms && work[kept] >= 0) ++kept;
    // Too few are repeated from the first on.
    team.each(a.post_nms, [&](int64_t i) {
      const int64_t from = work[i % kept], at = image * a.post_nms + i;
      out[at * 5] = static_cast<T>(image);
      out[at * 5 + 1] = boxes.left[from];
      out[at * 5 + 2] = boxes.top[from];
      out[at * 5 + 3] = boxes.right[from];
      out[at * 5 + 4] = boxes.bottom[from];
      score[at] = keys[order[from]];
    });
  }

  // The corners of box i, which counts rows, columns, anchors; gives its score.
  EACH_DEVICE T place(int64_t image, int64_t i, T* c) const {
    const int64_t kind = i % a.anchors, x = i / a.anchors % a.width, y = i / a.anchors / a.width;
    const int64_t plane = a.height * a.width, at = y * a.width + x;
    const T* size = info + image * 3;
    T box[4], moved[4];
    for (int64_t k = 0; k < 4; ++k) {
      box[k] = base[kind * 4 + k] + static_cast<T>((k % 2 ? y : x) * a.feature_stride);
      moved[k] = deltas[(image * a.anchors * 4 + kind * 4 + k) * plane + at];
    }
    if (a.iou_loss) {
      for (int64_t k = 0; k < 4; ++k) c[k] = box[k] + moved[k];
    } else {
      for (int64_t k = 0; k < 2; ++k) {
        const T length = box[k + 2] - box[k] + 1, centre = box[k] + (length - 1) / 2;
        const T middle = moved[k] * length + centre, half = (exp(moved[k + 2]) * length - 1) / 2;
        c[k] = middle - half;
        c[k + 2] = middle + half;
      }
    }
    for (int64_t k = 0; k < 4; ++k) c[k] = larger(smaller(c[k], size[1 - k % 2] - 1), T(0));
    T found = scores[(image * a.anchors * 2 + a.anchors + kind) * plane + at];
    const T stride = static_cast<T>(a.feature_stride);
    const int64_t rows = static_cast<int64_t>(size[0] / stride), columns = static_cast<int64_t>(size[1] / stride);
    if (y >= rows || x >= columns) found = -1;
    const T least = static_cast<T>(a.min_size) * size[2];
    if (c[2] - c[0] + 1 < least || c[3] - c[1] + 1 < least) {
      for (int64_t k = 0; k < 4; ++k) c[k] += (k < 2 ? -least : least) / 2;
      found = -1;
    }
    return found == found ? found : T(-1);
  }
};

// ---- kernels -------------------------------------------------------------------------------------------------------

template <class T>
void multibox_target(const MultiBoxTargetArgs& a, void* const* b, const Context& c) {
  const Scratch<T> s(b, 6, a.batch * (4 * a.anchors + a.labels), c);
  const MultiBoxTarget<T> one = {a,
                                 operand<const T>(b, 0, c),
                                 operand<const T>(b, 1, c),
                                 operand<const T>(b, 2, c),
                                 operand<T>(b, 3, c),
                                 operand<T>(b, 4, c),
                                 operand<T>(b, 5, c),
                                 s.parts,
                                 s.whole};
  for_each_team(c, a.batch, one);
}
template <class T>
void multibox_detection(const MultiBoxDetectionArgs& a, void* const* b, const Context& c) {
  const Scratch<T> s(b, 4, a.batch * a.anchors * 3, c);
  const MultiBoxDetection<T> one = {a,
                                    operand<const T>(b, 0, c),
                                    operand<const T>(b, 1, c),
                                    operand<const T>(b, 2, c),
                                    operand<T>(b, 3, c),
                                    s.whole,
                                    s.parts};
  for_each_team(c, a.batch, one);
}
template <class T>
void proposal(const ProposalArgs& a, void* const* b, const Context& c) {
  const Scratch<T> s(b, 6, a.batch * a.anchors * a.height * a.width * 2, c);
  const Proposal<T> one = {a,
                           operand<const T>(b, 0, c),
                           operand<const T>(b, 1, c),
                           operand<const T>(b, 2, c),
                           operand<const T>(b, 3, c),
                           operand<T>(b, 4, c),
                           operand<T>(b, 5, c),
                           s.whole,
                           s.parts};
  for_each_team(c, a.batch, one);
}

}  // namespace
}  // namespace minimx

#define MULTIBOX_KERNELS                                                           \
  KERNELS(multibox, TYPED("multibox_target", multibox_target, MultiBoxTargetArgs), \
          TYPED("multibox_detection", multibox_detection, MultiBoxDetectionArgs),  \
          TYPED("proposal", proposal, ProposalArgs))
