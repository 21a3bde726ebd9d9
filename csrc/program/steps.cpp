#include "steps.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "body_step.h"

namespace openwork {

namespace {

constexpr int64_t copy_piece = 16384;  // floats that one thread copies at a time

class LayerStep final : public Step {
 public:
  LayerStep(std::shared_ptr<const Layer> layer, const Slot& input, const Slot& output,
            const Slot* residual)
      : layer_(std::move(layer)),
        input_(input),
        output_(output),
        residual_(residual, image_out(layer_->geometry())) {
    require_floats("input", input.floats, image_in(layer_->geometry()));
    require_floats("output", output.floats, image_out(layer_->geometry()));
    require_apart(output, input);
  }
  void run(const Frame& f) const override {
    // Kernels read the residual at the output's offsets: all images in one call only if both have
    // the same distance from image to image.
    const bool same_stride = !residual_ || residual_->image == output_.image;
    const int batch = same_stride ? f.batch : 1;
    for (int64_t image = 0; image < f.batch; image += batch)
      layer_->run({f.read(input_) + image * input_.image, residual_.read(f, image),
                   f.write(output_) + image * output_.image, input_.image, output_.image,
                   f.workspace, batch, f.threads});
  }
  int64_t workspace(int batch, int threads) const override {
    return std::max(layer_->workspace(1, threads), layer_->workspace(batch, threads));
  }

 private:
  std::shared_ptr<const Layer> layer_;
  Slot input_, output_;
  Residual residual_;
};

}  // namespace

std::unique_ptr<Step> layer_step(std::shared_ptr<const Layer> layer, const Slot& input,
                                 const Slot& output, const Slot* residual) {
  if (!layer) fail("`layer` must be a packed layer, not none");
  require_writable(output);
  return std::make_unique<LayerStep>(std::move(layer), input, output, residual);
}

std::unique_ptr<Step> pool_step(const Pooling& kernels, const Pool& pool, std::vector<float> shift,
                                const Slot& input, const Slot& output) {
  check(pool);
  require_writable(output);
  require_apart(output, input);
  require_floats("input", input.floats,
                 static_cast<int64_t>(pool.channels) * pool.height * pool.width);
  require_floats("output", output.floats,
                 static_cast<int64_t>(pool.channels) * pool.out_height * pool.out_width);
  if (!shift.empty() && shift.size() != static_cast<size_t>(pool.channels))
    fail("`shift` must have one entry for each channel");
  return step_of([&kernels, pool, input, output, shift = std::move(shift)](const Frame& f) {
    Pool shifted = pool;
    shifted.shift = shift.empty() ? nullptr : shift.data();
    over_images(f, {&input, &output}, [&](int64_t image, int batch) {
      kernels.pool(shifted, f.read(input) + image * input.image,
                   f.write(output) + image * output.image, batch, f.threads);
    });
  });
}

std::unique_ptr<Step> mean_step(const Pooling& kernels, const Slot& input, const Slot& output) {
  require_writable(output);
  require_apart(output, input);
  if (input.floats % output.floats)
    fail("a mean's input must hold one map for each float of its output");
  return step_of([&kernels, input, output](const Frame& f) {
    over_images(f, {&input, &output}, [&](int64_t image, int batch) {
      kernels.mean(f.read(input) + image * input.image, f.write(output) + image * output.image,
                   output.floats * batch, input.floats / output.floats, f.threads);
    });
  });
}

std::unique_ptr<Step> add_step(const Elementwise& kernels, const Slot& a, const Slot* b,
                               const Slot& output, Activation activation) {
  require_writable(output);
  require_floats("output", output.floats, a.floats);
  if (b) require_floats("b", b->floats, a.floats);
  const bool has_b = b != nullptr;
  const Slot other = b ? *b : a;
  return step_of([=, &kernels](const Frame& f) {
    over_images(f, {&a, &other, &output}, [&](int64_t image, int batch) {
      kernels.add(f.read(a) + image * a.image,
                  has_b ? f.read(other) + image * other.image : nullptr,
                  f.write(output) + image * output.image, a.floats * batch, activation, f.threads);
    });
  });
}

std::unique_ptr<Step> affine_step(const Elementwise& kernels, std::vector<float> scale,
                                  std::vector<float> shift, Activation activation,
                                  const Slot& input, const Slot& output) {
  require_writable(output);
  require_floats("output", output.floats, input.floats);
  const int channels = static_cast<int>(std::min<size_t>(scale.size(), most_size));
  if (channels == 0 || static_cast<size_t>(channels) != scale.size() ||
      scale.size() != shift.size() || input.floats % channels)
    fail("`scale` and `shift` must have one entry for each channel");
  return step_of([=, &kernels, scale = std::move(scale), shift = std::move(shift)](const Frame& f) {
    over_images(f, {&input, &output}, [&](int64_t image, int batch) {
      kernels.affine({scale.data(), shift.data(), activation}, f.read(input) + image * input.image,
                     f.write(output) + image * output.image, batch, channels,
                     input.floats / channels, f.threads);
    });
  });
}

std::unique_ptr<Step> gate_step(const Elementwise& kernels, const Slot& input, const Slot& gates,
                                const Slot& output) {
  require_writable(output);
  require_apart(output, gates);
  require_floats("output", output.floats, input.floats);
  if (input.floats % gates.floats) fail("`gates` must have one entry for each map of the input");
  return step_of([&kernels, input, gates, output](const Frame& f) {
    over_images(f, {&input, &gates, &output}, [&](int64_t image, int batch) {
      kernels.gate(f.read(input) + image * input.image, f.read(gates) + image * gates.image,
                   f.write(output) + image * output.image, gates.floats * batch,
                   input.floats / gates.floats, f.threads);
    });
  });
}

std::unique_ptr<Step> copy_step(const Slot& source, const Slot& target) {
  require_writable(target);
  require_apart(target, source);
  require_floats("target", target.floats, source.floats);
  return step_of([=](const Frame& f) {
    const int64_t pieces = (source.floats + copy_piece - 1) / copy_piece;
    const float* from = f.read(source);
    float* to = f.write(target);
#pragma omp parallel for num_threads(f.threads) if (f.threads > 1)
    for (int64_t item = 0; item < pieces * f.batch; ++item) {
      const int64_t image = item / pieces, at = item % pieces * copy_piece;
      std::memcpy(to + image * target.image + at, from + image * source.image + at,
                  sizeof(float) * static_cast<size_t>(std::min(copy_piece, source.floats - at)));
    }
  });
}

}  // namespace openwork
