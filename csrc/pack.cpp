#include "pack.h"

#include <algorithm>
#include <numeric>

#include "checks.h"

namespace openwork {

namespace {

// Below this mean number of entries a mask's loop costs more in mispredicted branches than the
// shared loads save: such entries are given to each filter alone.
constexpr int64_t worth_a_loop = 2;

constexpr int most_group = 4;
constexpr int most_masks = 1 << most_group;

void check(const Entries& e, int chunk, int group) {
  require_range("taps", e.taps, 1, most_taps);
  require_range("chunk", chunk, 1, 65535);
  require_range("chunk * taps", static_cast<int64_t>(std::min(chunk, e.inputs)) * e.taps, 1, 65535);
  check_group(group);
  require_range("rows", e.rows, 1, most_size);
  require_range("inputs", e.inputs, 1, most_columns);
  require_range("live", e.live, 0, INT32_MAX);
  int64_t before = -1;
  for (int64_t i = 0; i < e.live; ++i) {
    // Not a call for each: these are most of what is checked when a network is loaded.
    if (e.out[i] < 0 || e.out[i] >= e.rows) require_range("out", e.out[i], 0, e.rows - 1);
    if (e.inside[i] < 0 || e.inside[i] >= e.inputs)
      require_range("inside", e.inside[i], 0, e.inputs - 1);
    const int64_t place = static_cast<int64_t>(e.out[i]) * e.inputs + e.inside[i];
    if (place <= before) fail("`out` and `inside` do not rise at entry ", i);
    before = place;
  }
}

// The filters of one group, -1 where it is not full.
struct Members {
  int row[most_group] = {-1, -1, -1, -1};
};

// Entries of each filter in one chunk: [first[row], last[row]).
struct Window {
  std::vector<int64_t> first, last;
};

// Which inputs of one chunk a group reads, a bit for each.
using Inputs = std::vector<uint64_t>;

#if defined(__x86_64__) && defined(__linux__)
// Without the instruction, which the baseline lacks, each count is a call: a third of packing.
__attribute__((noinline, target_clones("popcnt", "default")))
#endif
int64_t shared(const Inputs& a, const Inputs& b) {
  int64_t sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += __builtin_popcountll(a[i] & b[i]);
  return sum;
}

// Numbers of the largest sizes first, equal ones in order.
std::vector<int> by_size(const std::vector<int64_t>& sizes) {
  std::vector<int> order(sizes.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return sizes[a] > sizes[b]; });
  return order;
}

// Joins groups of `size` two by two: each, in turn, takes the free one that shares the most inputs.
void pair(std::vector<Members>& groups, std::vector<Inputs>& reads, int size) {
  std::vector<int64_t> sizes;
  for (const Inputs& read : reads) sizes.push_back(shared(read, read));
  std::vector<bool> taken(groups.size());
  std::vector<Members> pairs;
  std::vector<Inputs> unions;
  for (int one : by_size(sizes)) {
    if (taken[one]) continue;
    taken[one] = true;
    int other = -1;
    int64_t most = -1;
    for (size_t i = 0; i < groups.size(); ++i) {
      if (taken[i]) continue;
      const int64_t common = shared(reads[one], reads[i]);
      if (common > most) other = static_cast<int>(i), most = common;
    }
    pairs.push_back(groups[one]);
    unions.push_back(std::move(reads[one]));
    if (other < 0) continue;
    taken[other] = true;
    std::copy_n(groups[other].row, size, pairs.back().row + size);
    for (size_t i = 0; i < unions.back().size(); ++i) unions.back()[i] |= reads[other][i];
  }
  groups = std::move(pairs);
  reads = std::move(unions);
}

// The groups of one block of filters in one chunk that starts at input `start`.
std::vector<Members> group_rows(const Entries& e, const Window& window, int begin, int end,
                                int start, int chunk, int group, bool alike) {
  std::vector<Members> groups;
  for (int row = begin; row < end; row += alike ? 1 : group) {
    Members& members = groups.emplace_back();
    for (int g = 0; g < (alike ? 1 : group) && row + g < end; ++g) members.row[g] = row + g;
  }
  if (alike && group > 1) {
    std::vector<Inputs> reads;
    for (int row = begin; row < end; ++row) {
      Inputs& read = reads.emplace_back((chunk + 63) / 64);
      for (int64_t i = window.first[row]; i < window.last[row]; ++i) {
        const int at = e.inside[i] - start;
        read[at / 64] |= uint64_t{1} << at % 64;
      }
    }
    for (int size = 1; size < group; size *= 2) pair(groups, reads, size);
  }
  // Neighbours with equal counts let the branch predictor learn where the loops end.
  std::vector<int64_t> fan_in;
  for (const Members& members : groups) {
    int64_t sum = 0;
    for (int row : members.row)
      if (row >= 0) sum += window.last[row] - window.first[row];
    fan_in.push_back(sum);
  }
  std::vector<Members> sorted;
  for (int at : by_size(fan_in)) sorted.push_back(groups[at]);
  return sorted;
}

// One chunk: for each live entry, which filters of its group read the same input, a bit for each.
class Masks {
 public:
  Masks(const Entries& entries, const Window& window)
      : entries_(entries), window_(window), of_(entries.live) {}

  // Finds those of a chunk that starts at input `start`.
  void find(const std::vector<Members>& groups, int start, int chunk) {
    std::vector<uint8_t> mask(chunk);
    const auto at = [&](int64_t entry) -> uint8_t& { return mask[entries_.inside[entry] - start]; };
    for (const Members& members : groups) {
      visit(members, [&](int g, int64_t i) { at(i) |= static_cast<uint8_t>(1 << g); });
      visit(members, [&](int, int64_t i) { of_[i] = at(i); });
      visit(members, [&](int, int64_t i) { at(i) = 0; });
    }
  }

  // Calls `body(g, entry, mask)` for the live entries of each filter, filter by filter.
  template <class Body>
  void each(const Members& members, const Body& body) const {
    visit(members, [&](int g, int64_t i) { body(g, i, of_[i]); });
  }

 private:
  template <class Body>
  void visit(const Members& members, const Body& body) const {
    for (int g = 0; g < most_group; ++g) {
      const int row = members.row[g];
      if (row < 0) continue;
      for (int64_t i = window_.first[row]; i < window_.last[row]; ++i) body(g, i);
    }
  }

  const Entries& entries_;
  const Window& window_;
  std::vector<uint8_t> of_;
};

// Of a mask: a table, since a count is a call on the baseline, and each entry asks for one.
constexpr uint8_t bits_of[most_masks] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};

bool is_first(int g, unsigned mask) { return __builtin_ctz(mask) == g; }

class Packer {
 public:
  Packer(const Entries& entries, int chunk, int group, bool alike)
      : entries_(entries), chunk_(chunk), group_(group), alike_(alike), masks_(entries, window_) {
    packed_.order.resize(entries.live);
    window_.first.resize(entries.rows);
    window_.last.resize(entries.rows);
    for (int64_t i = 0, row = 0; row < entries.rows; ++row) {
      window_.last[row] = i;
      while (i < entries.live && entries.out[i] == row) ++i;
    }
  }

  PackedLists run() {
    for (int64_t start = 0; start < entries_.inputs; start += chunk_)
      pack_chunk(static_cast<int>(start));
    return std::move(packed_);
  }

 private:
  void pack_chunk(int start) {
    const int size = std::min(chunk_, entries_.inputs - start);
    move_window(start + size);
    std::vector<Members> groups;
    for (int begin = 0; begin < entries_.rows; begin += filter_block) {
      const int end = std::min(begin + filter_block, entries_.rows);
      for (const Members& members :
           group_rows(entries_, window_, begin, end, start, size, group_, alike_))
        groups.push_back(members);
    }
    masks_.find(groups, start, size);
    choose_loops(groups);
    for (const Members& members : groups) add_group(members, start);
  }

  // To the entries from where the last chunk ended up to input `end`.
  void move_window(int64_t end) {
    for (int row = 0; row < entries_.rows; ++row) {
      int64_t& first = window_.first[row];
      int64_t& last = window_.last[row];
      first = last;
      while (last < entries_.live && entries_.out[last] == row && entries_.inside[last] < end)
        ++last;
    }
  }

  // Which masks get a loop in this chunk.
  void choose_loops(const std::vector<Members>& groups) {
    int64_t seen[most_masks] = {};
    if (group_ > 1)
      for (const Members& members : groups)
        masks_.each(members,
                    [&](int g, int64_t, unsigned mask) { seen[mask] += is_first(g, mask); });
    const int64_t least = worth_a_loop * static_cast<int64_t>(groups.size());
    for (int mask = 1; mask < most_masks; ++mask)
      has_loop_[mask] = bits_of[mask] == 1 || seen[mask] * entries_.taps >= least;
  }

  void add_group(const Members& members, int start) {
    int64_t count[most_masks] = {};
    masks_.each(members, [&](int g, int64_t, unsigned mask) {
      if (!has_loop_[mask])
        ++count[1 << g];
      else
        count[mask] += is_first(g, mask);
    });
    // Where the entries and weights of each mask start. Filters with the same mask read the same
    // inputs in the same order, so each finds its weights' places by counting.
    int64_t entry[most_masks], weight[most_masks], done[most_group][most_masks] = {};
    const int taps = entries_.taps;
    packed_.entry_start.push_back(entries_done_ * taps);
    packed_.weight_start.push_back(weights_done_ * taps);
    for (int mask = 1; mask < 1 << group_; ++mask) {
      entry[mask] = entries_done_;
      weight[mask] = weights_done_;
      entries_done_ += count[mask];
      weights_done_ += count[mask] * bits_of[mask];
      packed_.count.push_back(static_cast<uint16_t>(count[mask] * taps));
    }
    packed_.index.resize(entries_done_ * taps);
    masks_.each(members, [&](int g, int64_t i, unsigned mask) {
      if (!has_loop_[mask]) mask = 1u << g;
      const int64_t at = done[g][mask]++;
      if (is_first(g, mask)) {
        uint16_t* index = packed_.index.data() + (entry[mask] + at) * taps;
        const int first = (entries_.inside[i] - start) * taps;
        for (int t = 0; t < taps; ++t) index[t] = static_cast<uint16_t>(first + t);
      }
      const int lower = bits_of[mask & ((1u << g) - 1)];
      packed_.order[weight[mask] + at * bits_of[mask] + lower] = static_cast<int32_t>(i);
    });
    packed_.row.insert(packed_.row.end(), members.row, members.row + group_);
  }

  const Entries& entries_;
  int chunk_, group_;
  bool alike_;
  Window window_;
  Masks masks_;  // refers to both
  bool has_loop_[most_masks] = {};
  int64_t entries_done_ = 0, weights_done_ = 0;
  PackedLists packed_;
};

}  // namespace

PackedLists pack_lists(const Entries& entries, int chunk, int group, bool alike) {
  check(entries, chunk, group);
  return Packer(entries, std::min(chunk, entries.inputs), group, alike).run();
}

}  // namespace openwork
