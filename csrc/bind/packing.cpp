// Packing, as Python calls it: arrays in, new arrays out.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>

#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "../pack.h"
#include "arrays.h"
#include "bind.h"

namespace openwork {

namespace {

template <class T>
using NewArray = nb::ndarray<nb::numpy, T, nb::ndim<1>>;

// The array that Python sees keeps the vector alive.
template <class T>
NewArray<T> given(std::vector<T>&& values) {
  values.shrink_to_fit();
  auto* kept = new std::vector<T>(std::move(values));
  nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return NewArray<T>(kept->data(), {kept->size()}, owner);
}

using ListTuple = std::tuple<NewArray<int32_t>, NewArray<uint16_t>, NewArray<int64_t>,
                             NewArray<int64_t>, NewArray<uint16_t>, NewArray<int32_t>>;

ListTuple pack(const Array<int32_t>& out, const Array<int32_t>& inside, int64_t rows,
               int64_t inputs, int64_t taps, int64_t chunk, int64_t group, bool alike) {
  require_size("inside", inside, static_cast<int64_t>(out.size()));
  require_range("rows", rows, 1, most_size);
  require_range("inputs", inputs, 1, most_columns);
  require_range("taps", taps, 1, most_taps);
  require_range("chunk", chunk, 1, 65535);
  require_range("group", group, 1, 4);
  const Entries entries{.rows = static_cast<int>(rows),
                        .inputs = static_cast<int>(inputs),
                        .taps = static_cast<int>(taps),
                        .live = static_cast<int64_t>(out.size()),
                        .out = out.data(),
                        .inside = inside.data()};
  PackedLists lists;
  {
    nb::gil_scoped_release release;
    lists = pack_lists(entries, static_cast<int>(chunk), static_cast<int>(group), alike);
  }
  return {given(std::move(lists.row)),         given(std::move(lists.count)),
          given(std::move(lists.entry_start)), given(std::move(lists.weight_start)),
          given(std::move(lists.index)),       given(std::move(lists.order))};
}

}  // namespace

void bind_packing(nb::module_& m) {
  using namespace nb::literals;
  m.def("pack_lists", pack, "out"_a.noconvert(), "inside"_a.noconvert(), nb::kw_only(), "rows"_a,
        "inputs"_a, "taps"_a, "chunk"_a, "group"_a, "alike"_a,
        "Arrays 1 to 5 of a sparse matrix, and the entry of each packed weight.");
}

}  // namespace openwork
