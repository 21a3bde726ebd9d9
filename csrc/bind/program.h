// Python's view of a program.
#pragma once
#include <nanobind/nanobind.h>

namespace openwork {

void bind_program(nanobind::module_& m);

}  // namespace openwork
