// The Python module, and what it says about instruction sets.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <utility>
#include <vector>

#include "../checks.h"
#include "../isa.h"
#include "bind.h"

namespace openwork {

namespace {

std::vector<std::pair<int, int>> pairs(const TileSizes& tiles) {
  std::vector<std::pair<int, int>> found;
  for (int i = 0; i < tiles.count; ++i) found.emplace_back(tiles.sizes[i][0], tiles.sizes[i][1]);
  return found;
}

int most_vectors(const std::string& isa, int group) {
  check_group(group);
  return shapes_of(isa).most_vectors(group);
}

int pair_vectors(int group) {
  check_group(group, most_group<int32_t>);
  return most_pair_vectors(group);
}

}  // namespace

void bind_isa(nb::module_& m) {
  using namespace nb::literals;
  m.def("usable_isas", usable_isas, "Instruction sets that can run here, worst first.");
  m.def("chosen_isa", chosen_isa, "OPENWORK_ISA if set, else the best usable one.");
  m.def(
      "lanes", [](const std::string& isa) { return shapes_of(isa).lanes; }, "isa"_a,
      "Floats in one vector of `isa`.");
  m.def("most_vectors", most_vectors, "isa"_a, "group"_a,
        "Most vectors in a tile of a sparse product.");
  m.def(
      "row_tiles", [](const std::string& isa) { return pairs(shapes_of(isa).row_tiles); }, "isa"_a,
      "(rows, vectors) of the direct kernel's tiles.");
  m.def(
      "tap_tiles", [](const std::string& isa) { return pairs(shapes_of(isa).tap_tiles); }, "isa"_a,
      "(rows, vectors) of the taps kernel's tiles.");
  m.def(
      "dense_tiles", [](const std::string& isa) { return pairs(shapes_of(isa).dense_tiles); },
      "isa"_a, "(filters, vectors) of the dense kernel's tiles.");
  m.def("pair_isas", pair_isas, "Instruction sets of the kernels of bfloat16, worst first.");
  m.def("pair_isa_of", pair_isa_of, "isa"_a,
        "Which of them runs networks compiled for `isa`; `isa` itself emulates.");
  m.def("most_pair_vectors", pair_vectors, "group"_a,
        "Most vectors in a tile of a product in bfloat16, on every instruction set.");
  m.attr("filter_block") = filter_block;
  m.attr("most_taps") = most_taps;
  m.attr("most_padded_floats") = most_padded_floats;
  m.attr("most_batch") = most_batch;
  m.attr("most_threads") = most_threads;
}

}  // namespace openwork

NB_MODULE(_C, m) {
  m.doc() = "The compiled kernels.";
  openwork::bind_isa(m);
  openwork::bind_problem(m);
  openwork::bind_packing(m);
  openwork::bind_layers(m);
  openwork::bind_training(m);
  openwork::bind_bytes(m);
  openwork::bind_program(m);
  openwork::bind_packed(m);
  openwork::bind_batch_norm(m);
  openwork::bind_max_pool2d(m);
}
