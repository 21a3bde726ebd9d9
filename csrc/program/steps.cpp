#include "steps.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace openwork {

namespace {

constexpr int64_t copied = 16384;  // floats that one thread copies at a time

void require(const char* what, int64_t found, int64_t wanted) {
  if (found != wanted)
    throw std::invalid_argument(std::string(what) + " has " + std::to_string(found) +
                                " floats per image, but the step needs " + std::to_string(wanted));
}

void require_writable(const Slot& slot) {
  if (slot.kind == Slot::Kind::input) throw std::invalid_argument("an input cannot be written to");
}

// For steps that read an input again after writing part of their output.
void require_apart(const Slot& output, const Slot& input) {
  if (Program::overlap(output, input))
    throw std::invalid_argument("the step's output shares memory with what it reads");
}

class LayerStep final : public Step {
 public:
  LayerStep(nb::object owner, const Layer& layer, const Slot& input, const Slot& output,
            const Slot* residual)
      : owner_(std::move(owner)), layer_(layer), input_(input), output_(output) {
    const Geometry& g = layer.geometry();
    const int64_t out = static_cast<int64_t>(g.out_channels) * g.out_height * g.out_width;
    require("input", input.floats, static_cast<int64_t>(g.in_channels) * g.height * g.width);
    require("output", output.floats, out);
    require_apart(output, input);
    if (residual) {
      require("residual", residual->floats, out);
      residual_ = *residual;
      has_residual_ = true;
    }
  }
  void run(const Frame& f) const override {
    // Kernels find the residual of a pixel where its output is, images apart alike.
    const bool alike = !has_residual_ || residual_.image == output_.image;
    const int batch = alike ? f.batch : 1;
    for (int64_t image = 0; image < f.batch; image += batch)
      layer_.run_unchecked({f.read(input_) + image * input_.image,
                            has_residual_ ? f.read(residual_) + image * residual_.image : nullptr,
                            f.write(output_) + image * output_.image, input_.image, output_.image,
                            f.workspace, batch, f.threads});
  }
  int64_t workspace(int batch, int threads) const override {
    return std::max(layer_.workspace(1, threads), layer_.workspace(batch, threads));
  }

 private:
  nb::object owner_;  // keeps `layer_` alive
  const Layer& layer_;
  Slot input_, output_, residual_{};
  bool has_residual_ = false;
};

// Windows of one axis: every one holds an input, as torch's rules ensure, and no place overflows.
void check_windows(int size, int kernel, int stride, int pad, int out) {
  if (kernel < 1 || kernel > most_reach || stride < 1 || stride > most_size)
    throw std::invalid_argument("a pool's kernel must lie in [1, 1024], its stride in [1, 2^20]");
  if (pad < 0 || pad > kernel / 2)
    throw std::invalid_argument("a pool's padding must be at most half its kernel");
  if (static_cast<int64_t>(out - 1) * stride - pad >= size)
    throw std::invalid_argument("a pool's last window lies outside its input");
}

// A step that is one function of its frame.
template <class Body>
class BodyStep final : public Step {
 public:
  explicit BodyStep(Body body) : body_(std::move(body)) {}
  void run(const Frame& frame) const override { body_(frame); }

 private:
  Body body_;
};

// Calls `body(image, batch)` for the whole batch, or image by image where one of `slots` is a part.
template <class Body>
void over_images(const Frame& frame, std::initializer_list<const Slot*> slots, const Body& body) {
  bool whole = true;
  for (const Slot* slot : slots) whole = whole && slot->image == slot->floats;
  if (whole) return body(0, frame.batch);
  for (int64_t image = 0; image < frame.batch; ++image) body(image, 1);
}

template <class Body>
std::unique_ptr<Step> step_of(Body body) {
  return std::make_unique<BodyStep<Body>>(std::move(body));
}

}  // namespace

std::unique_ptr<Step> layer_step(nb::object owner, const Layer& layer, const Slot& input,
                                 const Slot& output, const Slot* residual) {
  require_writable(output);
  return std::make_unique<LayerStep>(std::move(owner), layer, input, output, residual);
}

void check(const Pool& pool) {
  const int sizes[] = {pool.channels, pool.height, pool.width, pool.out_height, pool.out_width};
  for (int size : sizes)
    if (size < 1 || size > most_size)
      throw std::invalid_argument("a pool's sizes must lie in [1, 2^20]");
  check_windows(pool.height, pool.kernel_y, pool.stride_y, pool.pad_y, pool.out_height);
  check_windows(pool.width, pool.kernel_x, pool.stride_x, pool.pad_x, pool.out_width);
}

std::unique_ptr<Step> pool_step(const Maps& maps, const Pool& pool, std::vector<float> shift,
                                const Slot& input, const Slot& output) {
  check(pool);
  require_writable(output);
  require_apart(output, input);
  require("input", input.floats, static_cast<int64_t>(pool.channels) * pool.height * pool.width);
  require("output", output.floats,
          static_cast<int64_t>(pool.channels) * pool.out_height * pool.out_width);
  if (!shift.empty() && shift.size() != static_cast<size_t>(pool.channels))
    throw std::invalid_argument("`shift` must have one entry for each channel");
  return step_of([&maps, pool, input, output, shift = std::move(shift)](const Frame& f) {
    Pool shifted = pool;
    shifted.shift = shift.empty() ? nullptr : shift.data();
    over_images(f, {&input, &output}, [&](int64_t image, int batch) {
      maps.pool(shifted, f.read(input) + image * input.image,
                f.write(output) + image * output.image, batch, f.threads);
    });
  });
}

std::unique_ptr<Step> mean_step(const Maps& maps, const Slot& input, const Slot& output) {
  require_writable(output);
  require_apart(output, input);
  if (input.floats % output.floats)
    throw std::invalid_argument("a mean's input must hold whole maps for its output");
  return step_of([&maps, input, output](const Frame& f) {
    over_images(f, {&input, &output}, [&](int64_t image, int batch) {
      maps.mean(f.read(input) + image * input.image, f.write(output) + image * output.image,
                output.floats * batch, input.floats / output.floats, f.threads);
    });
  });
}

std::unique_ptr<Step> add_step(const Maps& maps, const Slot& a, const Slot* b, const Slot& output,
                               Activation activation) {
  require_writable(output);
  require("output", output.floats, a.floats);
  if (b) require("b", b->floats, a.floats);
  const bool has_b = b != nullptr;
  const Slot other = b ? *b : a;
  return step_of([=, &maps](const Frame& f) {
    over_images(f, {&a, &other, &output}, [&](int64_t image, int batch) {
      maps.add(f.read(a) + image * a.image, has_b ? f.read(other) + image * other.image : nullptr,
               f.write(output) + image * output.image, a.floats * batch, activation, f.threads);
    });
  });
}

std::unique_ptr<Step> affine_step(const Maps& maps, std::vector<float> scale,
                                  std::vector<float> shift, Activation activation,
                                  const Slot& input, const Slot& output) {
  require_writable(output);
  require("output", output.floats, input.floats);
  const int channels = static_cast<int>(scale.size());
  if (channels == 0 || scale.size() != shift.size() || input.floats % channels)
    throw std::invalid_argument("`scale` and `shift` must have one entry for each channel");
  return step_of([=, &maps, scale = std::move(scale), shift = std::move(shift)](const Frame& f) {
    over_images(f, {&input, &output}, [&](int64_t image, int batch) {
      maps.affine({scale.data(), shift.data(), activation}, f.read(input) + image * input.image,
                  f.write(output) + image * output.image, batch, channels, input.floats / channels,
                  f.threads);
    });
  });
}

std::unique_ptr<Step> gate_step(const Maps& maps, const Slot& input, const Slot& gates,
                                const Slot& output) {
  require_writable(output);
  require_apart(output, gates);
  require("output", output.floats, input.floats);
  if (input.floats % gates.floats)
    throw std::invalid_argument("`gates` must have one entry for each map of the input");
  return step_of([&maps, input, gates, output](const Frame& f) {
    over_images(f, {&input, &gates, &output}, [&](int64_t image, int batch) {
      maps.gate(f.read(input) + image * input.image, f.read(gates) + image * gates.image,
                f.write(output) + image * output.image, gates.floats * batch,
                input.floats / gates.floats, f.threads);
    });
  });
}

std::unique_ptr<Step> copy_step(const Slot& source, const Slot& target) {
  require_writable(target);
  require_apart(target, source);
  require("target", target.floats, source.floats);
  return step_of([=](const Frame& f) {
    const int64_t pieces = (source.floats + copied - 1) / copied;
    const float* from = f.read(source);
    float* to = f.write(target);
#pragma omp parallel for num_threads(f.threads) if (f.threads > 1)
    for (int64_t item = 0; item < pieces * f.batch; ++item) {
      const int64_t image = item / pieces, at = item % pieces * copied;
      std::memcpy(to + image * target.image + at, from + image * source.image + at,
                  sizeof(float) * static_cast<size_t>(std::min(copied, source.floats - at)));
    }
  });
}

std::unique_ptr<Step> clear_step(const Slot& target) {
  require_writable(target);
  return step_of([=](const Frame& f) {
    for (int64_t image = 0; image < f.batch; ++image)
      std::memset(f.write(target) + image * target.image, 0,
                  sizeof(float) * static_cast<size_t>(target.floats));
  });
}

}  // namespace openwork
