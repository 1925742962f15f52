#include "arena.h"

#include <algorithm>

namespace minimx {

namespace {

// Memory that is taken, as stretches in order; those that touch are one.
class Taken {
 public:
  // The first place from `at` on with so many free bytes.
  int64_t room(int64_t at, int64_t bytes) const {
    auto one = std::upper_bound(stretches_.begin(), stretches_.end(), at,
                                [](int64_t place, const Stretch& s) { return place < s.end; });
    for (; one != stretches_.end() && one->start - at < bytes; ++one) at = one->end;
    return at;
  }

  void take(int64_t start, int64_t end) {
    const auto first = std::lower_bound(stretches_.begin(), stretches_.end(), start,
                                        [](const Stretch& s, int64_t place) { return s.end < place; });
    auto last = first;
    for (; last != stretches_.end() && last->start <= end; ++last) {
      start = std::min(start, last->start);
      end = std::max(end, last->end);
    }
    if (first == last) {
      stretches_.insert(first, {start, end});
    } else {
      *first = {start, end};
      stretches_.erase(first + 1, last);
    }
  }

 private:
  struct Stretch {
    int64_t start;
    int64_t end;
  };
  std::vector<Stretch> stretches_;
};

// What is taken when. Time is a binary tree: every node is a span of it, its children are the halves.
class Calendar {
 public:
  explicit Calendar(int64_t times) {
    while (times_ < times) times_ *= 2;
    spans_.resize(2 * times_);
  }

  int64_t room(const Lifetime& one) {
    std::vector<const Taken*> met;
    visit(1, 0, times_, one, [&](const Span& span, bool whole) { met.push_back(whole ? &span.ever : &span.always); });
    int64_t at = 0;
    for (bool moved = true; moved;) {
      moved = false;
      for (const Taken* taken : met) {
        const int64_t free = taken->room(at, one.bytes);
        moved = moved || free != at;
        at = free;
      }
    }
    return at;
  }

  void take(const Lifetime& one, int64_t at) {
    visit(1, 0, times_, one, [&](Span& span, bool whole) {
      if (whole) span.always.take(at, at + one.bytes);
      span.ever.take(at, at + one.bytes);
    });
  }

 private:
  struct Span {
    Taken always;  // by those that live through all of it
    Taken ever;    // by those that live at some time of it
  };

  // The spans that make up a lifetime, and, not as wholes, those that they are parts of.
  template <class See>
  void visit(size_t span, int64_t from, int64_t to, const Lifetime& one, const See& see) {
    if (one.last < from || one.first >= to) return;
    const bool whole = one.first <= from && one.last >= to - 1;
    see(spans_[span], whole);
    if (whole) return;
    const int64_t middle = (from + to) / 2;
    visit(2 * span, from, middle, one, see);
    visit(2 * span + 1, middle, to, one, see);
  }

  int64_t times_ = 1;
  std::vector<Span> spans_;
};

}  // namespace

std::pair<std::vector<int64_t>, int64_t> pack(const std::vector<Lifetime>& lifetimes) {
  int64_t times = 1;
  for (const Lifetime& one : lifetimes) times = std::max(times, one.last + 1);
  Calendar calendar(times);
  std::vector<int64_t> offsets;
  offsets.reserve(lifetimes.size());
  int64_t size = 0;
  for (const Lifetime& one : lifetimes) {
    const int64_t at = calendar.room(one);
    calendar.take(one, at);
    offsets.push_back(at);
    size = std::max(size, at + one.bytes);
  }
  return {offsets, size};
}

}  // namespace minimx
