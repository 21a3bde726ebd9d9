// Steps along one axis of an image: norms, reductions, rows times a vector.
#include "body_step.h"
#include "steps.h"

namespace openwork {

namespace {

class NormalizeStep final : public Step {
 public:
  NormalizeStep(const Normalizing& kernels, const Slot& input, const Slot& output,
                const Normalize& job, std::vector<float> weight, std::vector<float> bias)
      : kernels_(kernels),
        input_(input),
        output_(output),
        weight_(std::move(weight)),
        bias_(std::move(bias)),
        job_(job) {
    require_range("repeat", job.repeat, 1, input.floats);
    if (job.inner > 1 && job.repeat > 1) fail("columns need `repeat`=1");
    if (!(job.eps >= 0)) fail("`eps` must not be negative");
    for (const std::vector<float>* numbers : {&weight_, &bias_}) {
      if (numbers->empty()) continue;
      const int64_t count = static_cast<int64_t>(numbers->size());
      if (count > input.floats || (job_.weights && count != job_.weights))
        fail("`weight` and `bias` must have as many entries");
      job_.weights = count;
      const int64_t covered = count * job.repeat;
      if (job.repeat > input.floats / count ||
          (covered != job.size && covered != job.size * job.outer))
        fail("`weight` and `bias` must have one entry for each `repeat` numbers");
    }
    job_.weight = weight_.empty() ? nullptr : weight_.data();
    job_.bias = bias_.empty() ? nullptr : bias_.data();
  }
  void run(const Frame& f) const override {
    over_images(f, {&input_, &output_}, [&](int64_t image, int batch) {
      kernels_.normalize(job_, f.read(input_) + image * input_.image,
                         f.write(output_) + image * output_.image, batch, f.workspace, f.threads);
    });
  }
  int64_t workspace(int batch, int /*threads*/) const override {
    return kernels_.workspace(job_, batch);
  }

 private:
  const Normalizing& kernels_;
  Slot input_, output_;
  std::vector<float> weight_, bias_;
  Normalize job_;
};

}  // namespace

std::unique_ptr<Step> normalize_step(const Normalizing& kernels, const Slot& input,
                                     const Slot& output, int64_t size, int64_t inner,
                                     int64_t repeat, float eps, std::vector<float> weight,
                                     std::vector<float> bias, Activation activation) {
  require_writable(output);
  require_floats("output", output.floats, input.floats);
  const int64_t outer = outer_of(input, size, inner);
  const Normalize job{outer, size, inner, repeat, 0, nullptr, nullptr, eps, activation};
  return std::make_unique<NormalizeStep>(kernels, input, output, job, std::move(weight),
                                         std::move(bias));
}

std::unique_ptr<Step> reduce_step(const Normalizing& kernels, Reduction reduction,
                                  const Slot& input, const Slot& output, int64_t size,
                                  int64_t inner) {
  require_writable(output);
  require_apart(output, input);
  const int64_t outer = outer_of(input, size, inner);
  require_floats("output", output.floats, outer * inner);
  return step_of([=, &kernels](const Frame& f) {
    over_images(f, {&input, &output}, [&](int64_t image, int batch) {
      kernels.reduce(reduction, f.read(input) + image * input.image,
                     f.write(output) + image * output.image, outer * batch, size, inner, f.threads);
    });
  });
}

std::unique_ptr<Step> dot_step(const Normalizing& kernels, const Slot& input, const Slot& factors,
                               const Slot& output) {
  require_writable(output);
  require_apart(output, input);
  require_apart(output, factors);
  const int64_t size = factors.floats, rows = output.floats;
  if (input.floats % size || input.floats / size != rows)
    fail("`input` must hold a row as long as `factors` for each float of `output`");
  return step_of([=, &kernels](const Frame& f) {
    over_images(f, {&input, &factors, &output}, [&](int64_t image, int batch) {
      kernels.dot(f.read(input) + image * input.image, f.read(factors) + image * factors.image,
                  f.write(output) + image * output.image, batch, rows, size, f.threads);
    });
  });
}

}  // namespace openwork
