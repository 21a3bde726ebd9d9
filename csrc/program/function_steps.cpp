// Steps of functions of each number, and softmax.
#include "body_step.h"
#include "steps.h"

namespace openwork {

int parameters_of(Function function) {
  switch (function) {
#define OPENWORK_CASE(name, parameters) \
  case Function::name:                  \
    return parameters;
    OPENWORK_FUNCTIONS(OPENWORK_CASE)
#undef OPENWORK_CASE
  }
  return 0;
}

std::unique_ptr<Step> map_step(const Functions& kernels, Function function,
                               const std::vector<float>& numbers, const Slot& input,
                               const Slot& output) {
  require_writable(output);
  require_floats("output", output.floats, input.floats);
  const int wanted = parameters_of(function);
  if (numbers.size() != static_cast<size_t>(wanted))
    fail("the function takes ", wanted, " `numbers`, not ", static_cast<int64_t>(numbers.size()));
  PointFunction point{function, {}};
  for (int i = 0; i < wanted; ++i) point.numbers[i] = numbers[i];
  return step_of([=, &kernels](const Frame& f) {
    over_images(f, {&input, &output}, [&](int64_t image, int batch) {
      kernels.map(point, f.read(input) + image * input.image,
                  f.write(output) + image * output.image, input.floats * batch, f.threads);
    });
  });
}

std::unique_ptr<Step> combine_step(const Functions& kernels, Operation operation, const Slot& a,
                                   const Slot& b, const Slot& output) {
  require_writable(output);
  require_floats("output", output.floats, a.floats);
  require_floats("b", b.floats, a.floats);
  return step_of([=, &kernels](const Frame& f) {
    over_images(f, {&a, &b, &output}, [&](int64_t image, int batch) {
      kernels.combine(operation, f.read(a) + image * a.image, f.read(b) + image * b.image,
                      f.write(output) + image * output.image, a.floats * batch, f.threads);
    });
  });
}

std::unique_ptr<Step> spread_step(const Functions& kernels, Operation operation, const Slot& a,
                                  const Slot& b, const Slot& output, int64_t inner) {
  require_writable(output);
  require_apart(output, b);
  require_floats("output", output.floats, a.floats);
  require_range("inner", inner, 1, b.floats);
  if (b.floats % inner || a.floats % b.floats)
    fail("`inner`=", inner, " must divide the ", b.floats,
         " floats of `b`, and these those of `a`");
  const int64_t outer = b.floats / inner, repeats = a.floats / b.floats;
  return step_of([=, &kernels](const Frame& f) {
    over_images(f, {&a, &b, &output}, [&](int64_t image, int batch) {
      kernels.spread(operation, f.read(a) + image * a.image, f.read(b) + image * b.image,
                     f.write(output) + image * output.image, outer * batch, repeats, inner,
                     f.threads);
    });
  });
}

std::unique_ptr<Step> prelu_step(const Functions& kernels, std::vector<float> slope,
                                 const Slot& input, const Slot& output) {
  require_writable(output);
  require_floats("output", output.floats, input.floats);
  if (slope.empty() || slope.size() > most_size || input.floats % slope.size())
    fail("`slope` must have one entry for each channel");
  const int channels = static_cast<int>(slope.size());
  return step_of([=, &kernels, slope = std::move(slope)](const Frame& f) {
    over_images(f, {&input, &output}, [&](int64_t image, int batch) {
      kernels.prelu(slope.data(), f.read(input) + image * input.image,
                    f.write(output) + image * output.image, batch, channels,
                    input.floats / channels, f.threads);
    });
  });
}

std::unique_ptr<Step> softmax_step(const Functions& kernels, const Slot& input, const Slot& output,
                                   int64_t size, int64_t inner, bool log) {
  require_writable(output);
  require_floats("output", output.floats, input.floats);
  const int64_t outer = outer_of(input, size, inner);
  return step_of([=, &kernels](const Frame& f) {
    over_images(f, {&input, &output}, [&](int64_t image, int batch) {
      kernels.softmax(f.read(input) + image * input.image, f.write(output) + image * output.image,
                      outer * batch, size, inner, log, f.threads);
    });
  });
}

}  // namespace openwork
