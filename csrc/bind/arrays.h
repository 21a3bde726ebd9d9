// Arrays that come from Python: their types, and the checks of their sizes.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>

#include "../checks.h"
#include "../map_type.h"
#include "bind.h"

namespace openwork {

template <class T>
using Array = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Bias = std::optional<Array<float>>;
// Of float, or of uint16_t for the bits of bfloat16, which NumPy does not have.
template <class T>
using Maps = nb::ndarray<const T, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
template <class T>
using OutMaps = nb::ndarray<T, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Input = Maps<float>;
using Output = OutMaps<float>;
using Workspace = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class T>
constexpr MapType map_type = std::is_same_v<T, float> ? MapType::float32 : MapType::bfloat16;

template <class T>
void require_size(const char* name, const Array<T>& array, int64_t wanted) {
  if (static_cast<int64_t>(array.size()) != wanted)
    fail("`", name, "` has ", array.size(), " entries, but needs ", wanted);
}

// Holds the arrays as long as the result lives.
template <class... Arrays>
std::shared_ptr<const void> keep(const Arrays&... arrays) {
  return std::make_shared<std::tuple<Arrays...>>(arrays...);
}

template <class Tensor>
void check_shape(const char* name, const Tensor& tensor, int64_t batch, int channels, int height,
                 int width) {
  const int64_t wanted[4] = {batch, channels, height, width};
  bool same = true;
  std::string found, rule;
  for (size_t axis = 0; axis < 4; ++axis) {
    const int64_t size = static_cast<int64_t>(tensor.shape(axis));
    same = same && size == wanted[axis];
    append(found, axis ? ", " : "");
    append(found, size);
    append(rule, axis ? ", " : "");
    append(rule, wanted[axis]);
  }
  if (!same) fail("`", name, "` has shape (", found, "), but this layer needs (", rule, ")");
}

// The images of a call, once `input` and the number of threads are checked.
inline int checked_batch(const Geometry& g, const Input& input, int threads) {
  check_call(static_cast<int64_t>(input.shape(0)), threads);
  const int batch = static_cast<int>(input.shape(0));
  check_shape("input", input, batch, g.in_channels, g.height, g.width);
  return batch;
}

inline void check_workspace(const Workspace& workspace, int64_t needed) {
  if (static_cast<int64_t>(workspace.size()) < needed)
    fail("`workspace` has ", workspace.size(), " floats, but this layer needs ", needed);
}

template <class Layer>
int64_t workspace_of(const Layer& layer, int batch, int threads) {
  check_call(batch, threads);
  return layer.workspace(batch, threads);
}

// Arrays 1 to 5 of a packed sparse matrix, as src/openwork/kernels/pack_lists.py numbers them.
struct ListIndices {
  Array<int32_t> row;
  Array<uint16_t> count;
  Array<int64_t> entry_start;
  Array<int64_t> weight_start;
  Array<uint16_t> index;

  // Checked, but without weights: `live` of them at each position.
  Lists view(int inputs, int rows, int chunk, int group, int64_t live) const {
    require_range("chunk", chunk, 1, 65535);
    check_group(group);
    const int chunks = (inputs + chunk - 1) / chunk;
    const int groups = (rows + group - 1) / group;
    const int64_t slots = static_cast<int64_t>(chunks) * groups;
    require_size("entry_start", entry_start, slots);
    require_size("weight_start", weight_start, slots);
    require_size("row", row, slots * group);
    require_size("count", count, slots * ((1 << group) - 1));
    const Lists lists{.inputs = inputs,
                      .rows = rows,
                      .chunk = chunk,
                      .chunks = chunks,
                      .group = group,
                      .groups = groups,
                      .live = live,
                      .row = row.data(),
                      .count = count.data(),
                      .entry_start = entry_start.data(),
                      .weight_start = weight_start.data(),
                      .index = index.data(),
                      .weight = nullptr};
    check(lists, static_cast<int64_t>(index.size()));
    return lists;
  }
};

}  // namespace openwork
