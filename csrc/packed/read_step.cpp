#include "read_step.h"

#include <string_view>
#include <utility>
#include <vector>

#include "../functions.h"
#include "../isa.h"
#include "../program/byte_steps.h"
#include "../program/steps.h"
#include "../step_kernels.h"
#include "make_byte_layer.h"
#include "make_layer.h"

namespace openwork {

namespace {

#define OPENWORK_PAIR(name) {#name, Activation::name},
constexpr std::pair<std::string_view, Activation> activations[] = {
    OPENWORK_ACTIVATIONS(OPENWORK_PAIR)};
#undef OPENWORK_PAIR

#define OPENWORK_PAIR(name, parameters) {#name, Function::name},
constexpr std::pair<std::string_view, Function> functions[] = {OPENWORK_FUNCTIONS(OPENWORK_PAIR)};
#undef OPENWORK_PAIR

#define OPENWORK_PAIR(name) {#name, Reduction::name},
constexpr std::pair<std::string_view, Reduction> reductions[] = {
    OPENWORK_REDUCTIONS(OPENWORK_PAIR)};
#undef OPENWORK_PAIR

#define OPENWORK_PAIR(name) {#name, Operation::name},
constexpr std::pair<std::string_view, Operation> operations[] = {
    OPENWORK_OPERATIONS(OPENWORK_PAIR)};
#undef OPENWORK_PAIR

template <class Value, size_t count>
Value named(const std::pair<std::string_view, Value> (&table)[count], std::string_view word) {
  for (const auto& [name, value] : table)
    if (name == word) return value;
  fail("'", std::string(word), "' is unknown here");
}

// What a step is made of: a name, a second word that most leave empty, whole numbers and arrays,
// each of them taken once and in order.
class Parts {
 public:
  Parts(Cursor& front, const std::string& isa, const Program& program,
        const std::shared_ptr<const void>& keep)
      : isa(isa),
        keep(keep),
        name(front.text()),
        word(front.text()),
        kernels(kernels_of(isa)),
        step_kernels(step_kernels_of(isa)),
        byte_kernels(byte_kernels_of(byte_isa_of(isa))),
        program_(program) {
    for (uint32_t left = front.count(8); left > 0; --left)
      numbers_.push_back(front.number<int64_t>());
    for (uint32_t left = front.count(17); left > 0; --left) arrays_.push_back(front.array());
  }

  int64_t number() {
    if (number_ == numbers_.size()) fail("step '", std::string(name), "' lacks a number");
    return numbers_[number_++];
  }
  int whole() {
    const int64_t value = number();
    require_range("number", value, INT32_MIN, INT32_MAX);
    return static_cast<int>(value);
  }
  bool flag() {
    const int value = whole();
    require_range("flag", value, 0, 1);
    return value != 0;
  }
  const Slot& slot() { return program_.slot(whole()); }
  // Null for the number -1.
  const Slot* slot_or_none() {
    const int value = whole();
    return value == -1 ? nullptr : &program_.slot(value);
  }
  template <class T>
  std::vector<T> array() {
    if (array_ == arrays_.size()) fail("step '", std::string(name), "' lacks an array");
    const Numbers& numbers = arrays_[array_++];
    if (numbers.type != number_of<T>())
      fail("an array of step '", std::string(name), "' has numbers of another type");
    const T* data = static_cast<const T*>(numbers.data);
    return std::vector<T>(data, data + numbers.count);
  }
  std::vector<int64_t> other_numbers() { return {numbers_.begin() + taken(), numbers_.end()}; }
  std::vector<Numbers> other_arrays() {
    const auto first = static_cast<std::ptrdiff_t>(std::exchange(array_, arrays_.size()));
    return {arrays_.begin() + first, arrays_.end()};
  }
  float real() {
    const std::vector<float> numbers = array<float>();
    if (numbers.size() != 1) fail("step '", std::string(name), "' needs arrays of one number");
    return numbers[0];
  }
  Activation activation() const { return named(activations, word); }
  void finish() const {
    if (number_ != numbers_.size() || array_ != arrays_.size())
      fail("step '", std::string(name), "' has more numbers or arrays than it needs");
  }

  const std::string& isa;
  const std::shared_ptr<const void>& keep;
  const std::string_view name, word;
  const Kernels& kernels;
  const StepKernels& step_kernels;
  const ByteKernels& byte_kernels;

 private:
  std::ptrdiff_t taken() {
    return static_cast<std::ptrdiff_t>(std::exchange(number_, numbers_.size()));
  }

  const Program& program_;
  std::vector<int64_t> numbers_;
  std::vector<Numbers> arrays_;
  size_t number_ = 0, array_ = 0;
};

Geometry geometry(Parts& parts) {
  Geometry g{};
  for (int* size :
       {&g.in_channels, &g.out_channels, &g.height, &g.width, &g.kernel_y, &g.kernel_x, &g.stride_y,
        &g.stride_x, &g.pad_y, &g.pad_x, &g.dilation_y, &g.dilation_x, &g.out_height, &g.out_width})
    *size = parts.whole();
  return g;
}

using MadeStep = std::unique_ptr<Step>;

MadeStep layer(Parts& parts, std::string_view kernel) {
  const Slot &input = parts.slot(), &output = parts.slot();
  const Slot* residual = parts.slot_or_none();
  Packing packing{std::string(kernel), geometry(parts), parts.activation(), parts.other_numbers(),
                  parts.other_arrays()};
  const std::string isa = kernel == "pairs" ? pair_isa_of(parts.isa) : parts.isa;
  return layer_step(make_layer(isa, std::move(packing), parts.keep), input, output, residual);
}

Pool window(Parts& parts) {
  Pool pool{};
  for (int* size :
       {&pool.channels, &pool.height, &pool.width, &pool.kernel_y, &pool.kernel_x, &pool.stride_y,
        &pool.stride_x, &pool.pad_y, &pool.pad_x, &pool.out_height, &pool.out_width})
    *size = parts.whole();
  return pool;
}

MadeStep pool(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  Pool pool = window(parts);
  pool.average = parts.flag(), pool.count_padding = parts.flag();
  pool.activation = parts.activation();
  return pool_step(parts.kernels.pooling, pool, parts.array<float>(), input, output);
}

MadeStep mean(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  return mean_step(parts.kernels.pooling, input, output);
}

MadeStep add(Parts& parts) {
  const Slot& a = parts.slot();
  const Slot* b = parts.slot_or_none();
  return add_step(parts.kernels.elementwise, a, b, parts.slot(), parts.activation());
}

MadeStep affine(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  std::vector<float> scale = parts.array<float>(), shift = parts.array<float>();
  return affine_step(parts.kernels.elementwise, std::move(scale), std::move(shift),
                     parts.activation(), input, output);
}

MadeStep gate(Parts& parts) {
  const Slot &input = parts.slot(), &gates = parts.slot(), &output = parts.slot();
  return gate_step(parts.kernels.elementwise, input, gates, output);
}

MadeStep copy(Parts& parts) {
  const Slot &source = parts.slot(), &target = parts.slot();
  return copy_step(source, target);
}

MadeStep fill(Parts& parts) {
  const Slot& target = parts.slot();
  return fill_step(parts.step_kernels.moving, target, parts.real());
}

MadeStep move(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  const int64_t first_from = parts.number(), first_to = parts.number();
  const std::vector<int64_t> size = parts.array<int64_t>(), from = parts.array<int64_t>();
  return move_step(parts.step_kernels.moving, input, output, size, from, parts.array<int64_t>(),
                   first_from, first_to);
}

MadeStep resample(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  const int64_t height = parts.number(), width = parts.number();
  const int64_t row_taps = parts.number(), column_taps = parts.number();
  std::vector<int32_t> row = parts.array<int32_t>();
  std::vector<float> row_weight = parts.array<float>();
  std::vector<int32_t> column = parts.array<int32_t>();
  return resample_step(parts.step_kernels.resampling, input, output, height, width, std::move(row),
                       std::move(row_weight), row_taps, std::move(column), parts.array<float>(),
                       column_taps);
}

MadeStep map(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  return map_step(parts.step_kernels.functions, named(functions, parts.word), parts.array<float>(),
                  input, output);
}

MadeStep combine(Parts& parts) {
  const Slot &a = parts.slot(), &b = parts.slot(), &output = parts.slot();
  return combine_step(parts.step_kernels.functions, named(operations, parts.word), a, b, output);
}

MadeStep spread(Parts& parts) {
  const Slot &a = parts.slot(), &b = parts.slot(), &output = parts.slot();
  return spread_step(parts.step_kernels.functions, named(operations, parts.word), a, b, output,
                     parts.number());
}

MadeStep normalize(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  const int64_t size = parts.number(), inner = parts.number(), repeat = parts.number();
  const float eps = parts.real();
  std::vector<float> weight = parts.array<float>();
  return normalize_step(parts.step_kernels.normalizing, input, output, size, inner, repeat, eps,
                        std::move(weight), parts.array<float>(), parts.activation());
}

MadeStep reduce(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  const int64_t size = parts.number();
  return reduce_step(parts.step_kernels.normalizing, named(reductions, parts.word), input, output,
                     size, parts.number());
}

MadeStep dot(Parts& parts) {
  const Slot &input = parts.slot(), &factors = parts.slot();
  return dot_step(parts.step_kernels.normalizing, input, factors, parts.slot());
}

MadeStep prelu(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  return prelu_step(parts.step_kernels.functions, parts.array<float>(), input, output);
}

MadeStep softmax(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  const int64_t size = parts.number(), inner = parts.number();
  return softmax_step(parts.step_kernels.functions, input, output, size, inner, parts.flag());
}

MadeStep byte_layer(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  const Slot* residual = parts.slot_or_none();
  Packing packing{"bytes", geometry(parts), Activation::none, parts.other_numbers(),
                  parts.other_arrays()};
  return byte_layer_step(make_byte_layer(byte_isa_of(parts.isa), std::move(packing), parts.keep),
                         input, output, residual);
}

ByteRange byte_range(Parts& parts) {
  const int zero = parts.whole(), least = parts.whole();
  return {zero, least, parts.whole()};
}

MadeStep quantize(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  return quantize_step(parts.byte_kernels, input, output, parts.real(), byte_range(parts));
}

MadeStep dequantize(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  const int zero = parts.whole();
  return dequantize_step(parts.byte_kernels, input, output, {zero, parts.real()});
}

MadeStep byte_pool(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  return byte_pool_step(parts.byte_kernels, window(parts), input, output);
}

MadeStep byte_mean(Parts& parts) {
  const Slot &input = parts.slot(), &output = parts.slot();
  const int64_t maps = parts.number(), pixels = parts.number();
  const int from_zero = parts.whole();
  return byte_mean_step(parts.byte_kernels, input, output, maps, pixels, from_zero, parts.real(),
                        byte_range(parts));
}

MadeStep byte_add(Parts& parts) {
  const Slot &a = parts.slot(), &b = parts.slot(), &output = parts.slot();
  const int zero_a = parts.whole(), zero_b = parts.whole();
  const ByteMap from_a{zero_a, parts.real()}, from_b{zero_b, parts.real()};
  return byte_add_step(parts.byte_kernels, a, b, output, from_a, from_b, byte_range(parts));
}

constexpr std::pair<std::string_view, MadeStep (*)(Parts&)> steps[] = {{"pool", pool},
                                                                       {"mean", mean},
                                                                       {"add", add},
                                                                       {"affine", affine},
                                                                       {"gate", gate},
                                                                       {"copy", copy},
                                                                       {"fill", fill},
                                                                       {"move", move},
                                                                       {"map", map},
                                                                       {"prelu", prelu},
                                                                       {"combine", combine},
                                                                       {"spread", spread},
                                                                       {"normalize", normalize},
                                                                       {"reduce", reduce},
                                                                       {"dot", dot},
                                                                       {"resample", resample},
                                                                       {"softmax", softmax},
                                                                       {"byte_layer", byte_layer},
                                                                       {"quantize", quantize},
                                                                       {"dequantize", dequantize},
                                                                       {"byte_pool", byte_pool},
                                                                       {"byte_mean", byte_mean},
                                                                       {"byte_add", byte_add}};

MadeStep made(Parts& parts) {
  constexpr std::string_view layers = "layer ";
  if (parts.name.starts_with(layers)) return layer(parts, parts.name.substr(layers.size()));
  return named(steps, parts.name)(parts);
}

}  // namespace

std::unique_ptr<Step> read_step(Cursor& front, const std::string& isa, const Program& program,
                                const std::shared_ptr<const void>& keep) {
  Parts parts(front, isa, program, keep);
  MadeStep step = made(parts);
  parts.finish();
  return step;
}

}  // namespace openwork
