#include "linear.h"

#include <vector>

#include "checks.h"

namespace openwork {

namespace {

void check_linear(const Geometry& g) {
  if (!is_plain(g) || g.height != 1 || g.width != 1)
    fail("a linear layer must be a plain 1x1 convolution of a 1x1 map");
}

void check_rows(const GemvPlan& plan, int64_t rows) {
  const int out = plan.geometry.out_channels;
  require_range("len(row)", rows, out, static_cast<int64_t>(out) * plan.lanes);
  if (rows % plan.lanes) fail("`row` must have whole slices of ", plan.lanes, " rows");
  std::vector<bool> seen(out);
  int found = 0;
  for (int64_t i = 0; i < rows; ++i) {
    require_range("row", plan.row[i], -1, out - 1);
    if (plan.row[i] < 0) continue;
    if (seen[plan.row[i]]) fail("`row` names row ", plan.row[i], " twice");
    seen[plan.row[i]] = true, ++found;
  }
  if (found != out) fail("`row` names ", found, " of ", out, " rows");
}

}  // namespace

void check(const GemvPlan& plan, int64_t rows, int64_t starts, int64_t indices, int64_t weights) {
  const int inputs = plan.geometry.in_channels;
  check_linear(plan.geometry);
  if (plan.group != 1 && plan.group != 4 && plan.group != plan.lanes)
    fail("`group`=", plan.group, " must be 1, 4 or ", plan.lanes);
  require_range("chunk", plan.chunk, 1, UINT16_MAX);
  require_range("chunks", plan.chunks, (inputs + plan.chunk - 1) / plan.chunk,
                (inputs + plan.chunk - 1) / plan.chunk);
  check_rows(plan, rows);
  const int64_t pieces = static_cast<int64_t>(plan.slices) * plan.chunks;
  require_range("len(start)", starts, pieces + 1, pieces + 1);
  const int units = plan.lanes / plan.group;
  const int64_t steps = indices / units;
  if (indices % units) fail("`index` must have whole steps of ", units, " entries");
  require_range("len(weight)", weights, steps * plan.lanes, steps * plan.lanes);
  if (plan.start[0] != 0 || plan.start[pieces] != steps)
    fail("`start` must run from 0 to ", steps, ", not from ", plan.start[0], " to ",
         plan.start[pieces]);
  for (int64_t piece = 0; piece < pieces; ++piece)
    if (plan.start[piece + 1] < plan.start[piece]) fail("`start` falls at piece ", piece);
  // Inputs beyond the last one of the last chunk are zeros, as `chunk` itself is.
  for (int64_t i = 0; i < indices; ++i) require_range("index", plan.index[i], 0, plan.chunk);
}

void check(const DenseGemvPlan& plan, int64_t weights) {
  const Geometry& g = plan.geometry;
  check_linear(g);
  const int64_t wanted = static_cast<int64_t>(g.out_channels) * g.in_channels;
  require_range("len(weight)", weights, wanted, wanted);
}

}  // namespace openwork
