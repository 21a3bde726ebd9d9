// Every index of a packed layer is checked once, before a kernel may follow it.
#pragma once
#include "../plans.h"

namespace openwork {

// All throw std::invalid_argument. `entries` is the length of lists.index.
void check(const Geometry& geometry);
void check(const Lists& lists, int64_t entries);
void check(const SpmmPlan& plan);
void check(const WinogradPlan& plan);
void check(const DirectPlan& plan, int64_t connections);
void check(const TapsPlan& plan, int64_t taps);

}  // namespace openwork
