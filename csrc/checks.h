// Every size and index is checked once, before a kernel relies on it.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

#include "batch_norm.h"
#include "plans.h"
#include "pool.h"
#include "training.h"

namespace openwork {

// Images and threads in one call.
constexpr int most_batch = 1 << 20;
constexpr int most_threads = 1 << 12;

inline void append(std::string& text, const char* part) { text += part; }
inline void append(std::string& text, const std::string& part) { text += part; }
inline void append(std::string& text, int64_t part) { text += std::to_string(part); }

// Throws std::invalid_argument whose message is `parts`, one after another.
template <class... Part>
[[noreturn]] void fail(const Part&... parts) {
  std::string message;
  (append(message, parts), ...);
  throw std::invalid_argument(message);
}

// All of these throw std::invalid_argument.
void require_range(const char* name, int64_t value, int64_t least, int64_t most);
void check_call(int64_t batch, int64_t threads);
// Filters of a sparse product that are processed together.
void check_group(int64_t group, int most = 4);
void check(const Geometry& geometry);
void check(const Pool& pool);
NormSizes norm_sizes(int64_t batch, int64_t channels, int64_t height, int64_t width);
// `indices`: length of lists.index.
void check(const Lists& lists, int64_t indices);
void check(const PairLists& lists, int64_t indices);
// All but the plan's lists; `columns`: length of plan.channel and plan.tap.
void check(const SpmmPlan& plan, int64_t columns);
void check(const PairPlan& plan, int64_t columns);
// All but the plan's lists.
void check(const WinogradPlan& plan);
// `connections`: length of plan.index.
void check(const DirectPlan& plan, int64_t connections);
// `taps`: length of plan.offset.
void check(const TapsPlan& plan, int64_t taps);
// `weights`: length of plan.weight.
void check(const DensePlan& plan, int64_t weights);
// `taps`: length of plan.tap.
void check(const DepthwisePlan& plan, int64_t taps);
// `taps`: length of fill.tap, `connections`: what fill.order may name if Winograd.
void check(const Refill& fill, int64_t connections, int64_t taps);
// `bounds`: length of samples.bound.
void check(const Samples& samples, int64_t bounds);
// All but the plan's samples; `columns`: length of plan.channel and plan.tap.
void check(const SampledSpmmPlan& plan, int64_t columns);
// The samples are checked.
void check(const SampledDirectPlan& plan);
// `taps`: length of plan.tap; the samples are checked.
void check(const SampledWinogradPlan& plan, int64_t taps);
// `kernels`: packed ones.
void check(const TransposedDepthwisePlan& plan, int64_t kernels);
void check(const SampledDepthwisePlan& plan);
// Whether each phase covers the rows and columns that it is asked for.
void check(const Interleave& job);

}  // namespace openwork
