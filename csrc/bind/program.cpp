#include "program.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>

#include "../isa.h"
#include "../program/program.h"
#include "../program/steps.h"
#include "checks.h"

namespace openwork {

namespace {

using Tensor = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Target = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using Seconds = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

Activation activation_of(int number) {
  if (number < 0 || number > static_cast<int>(Activation::hardsigmoid))
    throw std::invalid_argument("`activation`=" + std::to_string(number) + " is unknown");
  return static_cast<Activation>(number);
}

// A maximum of those sizes.
Pool pool_of(const std::vector<int64_t>& sizes) {
  const std::vector<int> n = whole_numbers("sizes", sizes, 11);
  const Pool pool{n[0],  n[1],  n[2],  n[3],    n[4],
                  n[5],  n[6],  n[7],  n[8],    n[9],
                  n[10], false, false, nullptr, Activation::none};
  check(pool);
  return pool;
}

// A program and the instruction set that its maps run on.
class BoundProgram {
 public:
  explicit BoundProgram(const std::string& isa) : maps_(kernels_of(isa).maps) {}

  int arena_slot(int64_t at, int64_t floats) {
    return program_.add_slot(Slot::Kind::arena, at, floats);
  }
  int part(int whole, int64_t first, int64_t floats) {
    return program_.add_part(whole, first, floats);
  }
  int input(int64_t floats) {
    return program_.add_slot(Slot::Kind::input, program_.inputs(), floats);
  }
  int output(int64_t floats) {
    return program_.add_slot(Slot::Kind::output, program_.outputs(), floats);
  }

  void layer(nb::object layer, int input, int output, std::optional<int> residual) {
    const Layer& native = nb::cast<const Layer&>(layer);
    program_.add_step(layer_step(std::move(layer), native, at(input), at(output),
                                 residual ? &at(*residual) : nullptr));
  }
  void pool(int input, int output, const std::vector<int64_t>& sizes, bool average,
            bool count_padding, std::vector<float> shift, int activation) {
    Pool pool = pool_of(sizes);
    pool.average = average;
    pool.count_padding = count_padding;
    pool.activation = activation_of(activation);
    program_.add_step(pool_step(maps_, pool, std::move(shift), at(input), at(output)));
  }
  void mean(int input, int output) { program_.add_step(mean_step(maps_, at(input), at(output))); }
  void add(int a, std::optional<int> b, int output, int activation) {
    program_.add_step(
        add_step(maps_, at(a), b ? &at(*b) : nullptr, at(output), activation_of(activation)));
  }
  void affine(int input, int output, std::vector<float> scale, std::vector<float> shift,
              int activation) {
    program_.add_step(affine_step(maps_, std::move(scale), std::move(shift),
                                  activation_of(activation), at(input), at(output)));
  }
  void gate(int input, int gates, int output) {
    program_.add_step(gate_step(maps_, at(input), at(gates), at(output)));
  }
  void copy(int source, int target) { program_.add_step(copy_step(at(source), at(target))); }
  void clear(int target) { program_.add_step(clear_step(at(target))); }

  int steps() const { return program_.steps(); }

  int64_t arena(int batch, int threads) const {
    check_call(batch, threads);
    return program_.arena(batch, threads);
  }

  void run(const std::vector<Tensor>& inputs, const std::vector<Target>& outputs,
           const Target& arena, int batch, int threads,
           const std::optional<Seconds>& seconds) const {
    check_call(batch, threads);
    require("inputs", static_cast<int64_t>(inputs.size()), program_.inputs());
    require("outputs", static_cast<int64_t>(outputs.size()), program_.outputs());
    if (seconds) require("seconds", static_cast<int64_t>(seconds->size()), program_.steps());
    std::vector<const float*> from;
    std::vector<float*> to;
    for (const Tensor& tensor : inputs) {
      const int number = static_cast<int>(from.size());
      require("input", static_cast<int64_t>(tensor.size()), program_.input_floats(number) * batch);
      from.push_back(tensor.data());
    }
    for (const Target& tensor : outputs) {
      const int number = static_cast<int>(to.size());
      require("output", static_cast<int64_t>(tensor.size()),
              program_.output_floats(number) * batch);
      to.push_back(tensor.data());
    }
    if (static_cast<int64_t>(arena.size()) < program_.arena(batch, threads))
      throw std::invalid_argument("`arena` has " + std::to_string(arena.size()) +
                                  " floats, but the program needs " +
                                  std::to_string(program_.arena(batch, threads)));
    nb::gil_scoped_release release;
    program_.run(from, to, arena.data(), batch, threads, seconds ? seconds->data() : nullptr);
  }

 private:
  const Slot& at(int number) const { return program_.slot(number); }

  static void check_call(int batch, int threads) {
    if (batch < 1 || batch > most_batch || threads < 1 || threads > 4096)
      throw std::invalid_argument("`batch`=" + std::to_string(batch) +
                                  " must lie in [1, 2^20] and " +
                                  "`threads`=" + std::to_string(threads) + " in [1, 4096]");
  }
  static void require(const char* what, int64_t found, int64_t wanted) {
    if (found != wanted)
      throw std::invalid_argument("`" + std::string(what) + "` has " + std::to_string(found) +
                                  " entries, but the program needs " + std::to_string(wanted));
  }

  Program program_;
  const Maps& maps_;
};

}  // namespace

void bind_program(nb::module_& m) {
  using namespace nb::literals;
  m.def(
      "pool_refusal",
      [](const std::vector<int64_t>& sizes) { return refusal([&] { pool_of(sizes); }); }, "sizes"_a,
      "Why `Program.pool` does not take such sizes; None if it does.");
  nb::class_<BoundProgram>(m, "Program", "A network as steps over one arena.")
      .def(nb::init<const std::string&>(), "isa"_a)
      .def("arena_slot", &BoundProgram::arena_slot, "at"_a, "floats"_a)
      .def("part", &BoundProgram::part, "whole"_a, "first"_a, "floats"_a,
           "A slot for the same part of every image of another.")
      .def("input", &BoundProgram::input, "floats"_a)
      .def("output", &BoundProgram::output, "floats"_a)
      .def("layer", &BoundProgram::layer, "layer"_a, "input"_a, "output"_a,
           "residual"_a.none() = nb::none())
      .def("pool", &BoundProgram::pool, "input"_a, "output"_a, "sizes"_a, "average"_a,
           "count_padding"_a, "shift"_a = std::vector<float>{}, "activation"_a = 0)
      .def("mean", &BoundProgram::mean, "input"_a, "output"_a)
      .def("add", &BoundProgram::add, "a"_a, "b"_a.none(), "output"_a, "activation"_a)
      .def("affine", &BoundProgram::affine, "input"_a, "output"_a, "scale"_a, "shift"_a,
           "activation"_a)
      .def("gate", &BoundProgram::gate, "input"_a, "gates"_a, "output"_a)
      .def("copy", &BoundProgram::copy, "source"_a, "target"_a)
      .def("clear", &BoundProgram::clear, "target"_a)
      .def("steps", &BoundProgram::steps, "Steps added so far.")
      .def("arena", &BoundProgram::arena, "batch"_a, "threads"_a,
           "Floats that `run` needs as its arena.")
      // A converted copy of an output would be written to and thrown away.
      .def("run", &BoundProgram::run, "inputs"_a.noconvert(), "outputs"_a.noconvert(),
           "arena"_a.noconvert(), "batch"_a, "threads"_a,
           "seconds"_a.noconvert().none() = nb::none(),
           "Run all steps; `seconds` receives what each of them takes.");
}

}  // namespace openwork
