// A whole network, step by step.
#include "../program/program.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../isa.h"
#include "../packed/read_program.h"
#include "../program/byte_steps.h"
#include "../program/steps.h"
#include "bind.h"

namespace openwork {

namespace {

using Tensor = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Target = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using Seconds = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// A program and the kernels of the instruction set that its steps run on.
class BoundProgram {
 public:
  explicit BoundProgram(const std::string& isa)
      : isa_(isa),
        kernels_(kernels_of(isa)),
        step_kernels_(step_kernels_of(isa)),
        byte_kernels_(byte_kernels_of(byte_isa_of(isa))) {}
  explicit BoundProgram(PackedProgram&& packed)
      : program_(std::move(packed.program)),
        isa_(packed.isa),
        kernels_(kernels_of(isa_)),
        step_kernels_(step_kernels_of(isa_)),
        byte_kernels_(byte_kernels_of(byte_isa_of(isa_))) {}

  const std::string& isa() const { return isa_; }

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

  void layer(std::shared_ptr<const Layer> layer, int input, int output,
             std::optional<int> residual) {
    program_.add_step(
        layer_step(std::move(layer), at(input), at(output), residual ? &at(*residual) : nullptr));
  }
  void chain(std::vector<std::shared_ptr<const Layer>> layers, int input, int output,
             std::optional<int> residual) {
    program_.add_step(
        chain_step(std::move(layers), at(input), at(output), residual ? &at(*residual) : nullptr));
  }
  void pool(int input, int output, const Pool& pool, std::vector<float> shift) {
    program_.add_step(pool_step(kernels_.pooling, pool, std::move(shift), at(input), at(output)));
  }
  void mean(int input, int output) {
    program_.add_step(mean_step(kernels_.pooling, at(input), at(output)));
  }
  void add(int a, std::optional<int> b, int output, Activation activation) {
    program_.add_step(
        add_step(kernels_.elementwise, at(a), b ? &at(*b) : nullptr, at(output), activation));
  }
  void affine(int input, int output, std::vector<float> scale, std::vector<float> shift,
              Activation activation) {
    program_.add_step(affine_step(kernels_.elementwise, std::move(scale), std::move(shift),
                                  activation, at(input), at(output)));
  }
  void gate(int input, int gates, int output) {
    program_.add_step(gate_step(kernels_.elementwise, at(input), at(gates), at(output)));
  }
  void copy(int source, int target) { program_.add_step(copy_step(at(source), at(target))); }
  void fill(int target, float value) {
    program_.add_step(fill_step(step_kernels_.moving, at(target), value));
  }
  void clear(int target) { fill(target, 0); }
  void move(int input, int output, const std::vector<int64_t>& size,
            const std::vector<int64_t>& from, const std::vector<int64_t>& to, int64_t first_from,
            int64_t first_to) {
    program_.add_step(move_step(step_kernels_.moving, at(input), at(output), size, from, to,
                                first_from, first_to));
  }
  void resample(int input, int output, int64_t height, int64_t width, std::vector<int32_t> row,
                std::vector<float> row_weight, int64_t row_taps, std::vector<int32_t> column,
                std::vector<float> column_weight, int64_t column_taps) {
    program_.add_step(resample_step(step_kernels_.resampling, at(input), at(output), height, width,
                                    std::move(row), std::move(row_weight), row_taps,
                                    std::move(column), std::move(column_weight), column_taps));
  }
  void map(int input, int output, Function function, const std::vector<float>& numbers) {
    program_.add_step(map_step(step_kernels_.functions, function, numbers, at(input), at(output)));
  }
  void combine(int a, int b, int output, Operation operation) {
    program_.add_step(combine_step(step_kernels_.functions, operation, at(a), at(b), at(output)));
  }
  void spread(int a, int b, int output, Operation operation, int64_t inner) {
    program_.add_step(
        spread_step(step_kernels_.functions, operation, at(a), at(b), at(output), inner));
  }
  void normalize(int input, int output, int64_t size, int64_t inner, int64_t repeat, float eps,
                 std::vector<float> weight, std::vector<float> bias, Activation activation) {
    program_.add_step(normalize_step(step_kernels_.normalizing, at(input), at(output), size, inner,
                                     repeat, eps, std::move(weight), std::move(bias), activation));
  }
  void reduce(int input, int output, Reduction reduction, int64_t size, int64_t inner) {
    program_.add_step(
        reduce_step(step_kernels_.normalizing, reduction, at(input), at(output), size, inner));
  }
  void dot(int input, int factors, int output) {
    program_.add_step(dot_step(step_kernels_.normalizing, at(input), at(factors), at(output)));
  }
  void prelu(int input, int output, std::vector<float> slope) {
    program_.add_step(prelu_step(step_kernels_.functions, std::move(slope), at(input), at(output)));
  }
  void softmax(int input, int output, int64_t size, int64_t inner, bool log) {
    program_.add_step(
        softmax_step(step_kernels_.functions, at(input), at(output), size, inner, log));
  }

  void byte_layer(std::shared_ptr<const ByteLayer> layer, int input, int output,
                  std::optional<int> residual) {
    program_.add_step(byte_layer_step(std::move(layer), at(input), at(output),
                                      residual ? &at(*residual) : nullptr));
  }
  void quantize(int input, int output, float inverse, const ByteRange& range) {
    program_.add_step(quantize_step(byte_kernels_, at(input), at(output), inverse, range));
  }
  void dequantize(int input, int output, float scale, int zero) {
    program_.add_step(dequantize_step(byte_kernels_, at(input), at(output), {zero, scale}));
  }
  void byte_pool(int input, int output, const Pool& pool) {
    program_.add_step(byte_pool_step(byte_kernels_, pool, at(input), at(output)));
  }
  void byte_mean(int input, int output, int64_t maps, int64_t pixels, int from_zero, float scale,
                 const ByteRange& range) {
    program_.add_step(byte_mean_step(byte_kernels_, at(input), at(output), maps, pixels, from_zero,
                                     scale, range));
  }
  void byte_add(int a, int b, int output, std::pair<int, float> from_a,
                std::pair<int, float> from_b, const ByteRange& range) {
    program_.add_step(byte_add_step(byte_kernels_, at(a), at(b), at(output),
                                    {from_a.first, from_a.second}, {from_b.first, from_b.second},
                                    range));
  }

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
      fail("`arena` has ", arena.size(), " floats, but the program needs ",
           program_.arena(batch, threads));
    nb::gil_scoped_release release;
    program_.run(from, to, arena.data(), batch, threads, seconds ? seconds->data() : nullptr);
  }

 private:
  const Slot& at(int number) const { return program_.slot(number); }

  static void require(const char* what, int64_t found, int64_t wanted) {
    if (found != wanted)
      fail("`", what, "` has ", found, " entries, but the program needs ", wanted);
  }

  Program program_;
  std::string isa_;
  const Kernels& kernels_;
  const StepKernels& step_kernels_;
  const ByteKernels& byte_kernels_;
};

std::pair<std::unique_ptr<BoundProgram>, std::string> open_packed(const std::string& path) {
  nb::gil_scoped_release release;
  PackedProgram packed = read_program(map_file(path.c_str()));
  std::string notes = std::move(packed.notes);
  return {std::make_unique<BoundProgram>(std::move(packed)), std::move(notes)};
}

}  // namespace

void bind_program(nb::module_& m) {
  using namespace nb::literals;
  nb::class_<BoundProgram>(m, "Program",
                           "A network as steps over one arena. Slots are tensors: the methods that "
                           "make them return the number by which the steps name them; sizes are "
                           "floats per image.")
      .def(nb::init<const std::string&>(), "isa"_a, "Without slots and steps.")
      .def("arena_slot", &BoundProgram::arena_slot, "at"_a, "floats"_a,
           "A slot in the arena, from `at` on.")
      .def("part", &BoundProgram::part, "whole"_a, "first"_a, "floats"_a,
           "A slot for the same part of every image of another.")
      .def("input", &BoundProgram::input, "floats"_a, "A slot for the next of `run`'s inputs.")
      .def("output", &BoundProgram::output, "floats"_a, "A slot for the next of `run`'s outputs.")
      .def("layer", &BoundProgram::layer, "layer"_a, "input"_a, "output"_a,
           "residual"_a.none() = nb::none(), "Run a packed layer.")
      .def("chain", &BoundProgram::chain, "layers"_a, "input"_a, "output"_a,
           "residual"_a.none() = nb::none(),
           "Run packed layers, each on what the one before it wrote, some rows at a time.")
      .def("pool", &BoundProgram::pool, "input"_a, "output"_a, "pool"_a,
           "shift"_a = std::vector<float>{},
           "Pool each map, and add its channel's `shift` before the activation.")
      .def("mean", &BoundProgram::mean, "input"_a, "output"_a, "The mean of each map.")
      .def("add", &BoundProgram::add, "a"_a, "b"_a.none(), "output"_a, "activation"_a.noconvert(),
           "The activation of `a` + `b`, or of `a` alone.")
      .def("affine", &BoundProgram::affine, "input"_a, "output"_a, "scale"_a, "shift"_a,
           "activation"_a.noconvert(),
           "The activation of each channel times its scale plus its shift.")
      .def("gate", &BoundProgram::gate, "input"_a, "gates"_a, "output"_a,
           "Each map times its gate.")
      .def("copy", &BoundProgram::copy, "source"_a, "target"_a, "Copy a slot to another.")
      .def("clear", &BoundProgram::clear, "target"_a, "Fill a slot with zeros.")
      .def("fill", &BoundProgram::fill, "target"_a, "value"_a, "Fill a slot with a number.")
      .def("move", &BoundProgram::move, "input"_a, "output"_a, "size"_a, "from_"_a, "to"_a,
           "first_from"_a = 0, "first_to"_a = 0,
           "Copy what lies at the distances `from_` along axes of these sizes to where `to` says.")
      .def("resample", &BoundProgram::resample, "input"_a, "output"_a, nb::kw_only(), "height"_a,
           "width"_a, "row"_a, "row_weight"_a, "row_taps"_a, "column"_a, "column_weight"_a,
           "column_taps"_a,
           "Each map's rows and columns as weighted sums of those at the given places: all first "
           "taps, then all second ones. Without weights there is one tap, of weight 1.")
      .def("map", &BoundProgram::map, "input"_a, "output"_a, "function"_a.noconvert(), "numbers"_a,
           "A function of each number; `numbers` are its parameters.")
      .def("combine", &BoundProgram::combine, "a"_a, "b"_a, "output"_a, "operation"_a.noconvert(),
           "An operation on each number of `a` and that of `b` at the same place.")
      .def("spread", &BoundProgram::spread, "a"_a, "b"_a, "output"_a, "operation"_a.noconvert(),
           "inner"_a,
           "An operation on each number of `a` and one of `b`, each `inner` floats of which count "
           "for as many neighbours in `a` as `b` fits into it.")
      .def("normalize", &BoundProgram::normalize, "input"_a, "output"_a, "size"_a, "inner"_a,
           "repeat"_a, "eps"_a, "weight"_a, "bias"_a, "activation"_a.noconvert(),
           "The activation of `size` numbers that are `inner` floats apart, less their mean, over "
           "their deviation, times `weight` plus `bias`, which have one entry for each `repeat` "
           "numbers along the axis or along all axes of an image, or none.")
      .def("reduce", &BoundProgram::reduce, "input"_a, "output"_a, "reduction"_a.noconvert(),
           "size"_a, "inner"_a, "What `size` numbers that are `inner` floats apart become.")
      .def("dot", &BoundProgram::dot, "input"_a, "factors"_a, "output"_a,
           "Each row of the input times `factors`, summed.")
      .def("prelu", &BoundProgram::prelu, "input"_a, "output"_a, "slope"_a,
           "Negative numbers times the slope of their channel.")
      .def("softmax", &BoundProgram::softmax, "input"_a, "output"_a, "size"_a, "inner"_a, "log"_a,
           "Softmax, or its logarithm, of `size` numbers that are `inner` floats apart.")
      .def("byte_layer", &BoundProgram::byte_layer, "layer"_a, "input"_a, "output"_a,
           "residual"_a.none() = nb::none(), "Run a packed layer of bytes.")
      .def("quantize", &BoundProgram::quantize, "input"_a, "output"_a, "inverse"_a, "range"_a,
           "Floats times `inverse`, as bytes.")
      .def("dequantize", &BoundProgram::dequantize, "input"_a, "output"_a, "scale"_a, "zero"_a,
           "Bytes as floats.")
      .def("byte_pool", &BoundProgram::byte_pool, "input"_a, "output"_a, "pool"_a,
           "The largest byte of each window.")
      .def("byte_mean", &BoundProgram::byte_mean, "input"_a, "output"_a, "maps"_a, "pixels"_a,
           "from_zero"_a, "scale"_a, "range"_a,
           "The sum of each map of bytes, less its zeros, times `scale`, as a byte.")
      .def("byte_add", &BoundProgram::byte_add, "a"_a, "b"_a, "output"_a, "from_a"_a, "from_b"_a,
           "range"_a,
           "Sums of two bytes, less their zeros and times their scales, as bytes; `from_a` and "
           "`from_b` are (zero, scale).")
      .def_prop_ro("isa", &BoundProgram::isa, "Instruction set.")
      .def("steps", &BoundProgram::steps, "Steps added so far.")
      .def("arena", &BoundProgram::arena, "batch"_a, "threads"_a,
           "Floats that `run` needs as its arena.")
      // A converted copy of an output would be written to and thrown away.
      .def("run", &BoundProgram::run, "inputs"_a.noconvert(), "outputs"_a.noconvert(),
           "arena"_a.noconvert(), "batch"_a, "threads"_a,
           "seconds"_a.noconvert().none() = nb::none(),
           "Run all steps; `seconds` receives what each of them takes.");

  m.def("open_packed", open_packed, "path"_a,
        "The program of a packed file, and the notes in it. The file is mapped.");
  m.def("parameters_of", parameters_of, "function"_a.noconvert(),
        "How many parameters a function has.");
}

}  // namespace openwork
