// The parts of the Python module. This folder is the only one that knows nanobind.
#pragma once
#include <nanobind/nanobind.h>

namespace openwork {

namespace nb = nanobind;

void bind_isa(nb::module_& m);
void bind_problem(nb::module_& m);
void bind_packing(nb::module_& m);
void bind_layers(nb::module_& m);
void bind_training(nb::module_& m);
void bind_program(nb::module_& m);
void bind_packed(nb::module_& m);
void bind_batch_norm(nb::module_& m);
void bind_max_pool2d(nb::module_& m);
void bind_bytes(nb::module_& m);

}  // namespace openwork
