// Every index of a packed layer is checked once, before a kernel may follow it.
#pragma once
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../plans.h"

namespace openwork {

// All throw std::invalid_argument. `entries` is the length of lists.index.
void check(const Geometry& geometry);
void check(const Lists& lists, int64_t entries);
void check(const SpmmPlan& plan);
void check(const WinogradPlan& plan);
void check(const DirectPlan& plan, int64_t connections);
void check(const TapsPlan& plan, int64_t taps);

// `numbers`, which must be as many as `count` and fit an int.
std::vector<int> whole_numbers(const char* name, const std::vector<int64_t>& numbers, size_t count);

// What `body` throws; nothing if it does not.
template <class Body>
std::optional<std::string> refusal(const Body& body) {
  try {
    body();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return std::nullopt;
}

}  // namespace openwork
