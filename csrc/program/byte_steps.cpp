#include "byte_steps.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "body_step.h"

namespace openwork {

namespace {

const uint8_t* as_bytes(const float* from) { return reinterpret_cast<const uint8_t*>(from); }
uint8_t* as_bytes(float* to) { return reinterpret_cast<uint8_t*>(to); }

void require_zero(int zero) { require_range("zero", zero, 0, 255); }

void require_scale(float scale) {
  if (!std::isfinite(scale)) fail("`scale` must be finite");
}

void check(const ByteRange& range) {
  const auto [zero, least, most] = range;
  require_zero(zero);
  require_range("least", least, 0, 255);
  require_range("most", most, least, 255);
}

class ByteLayerStep final : public Step {
 public:
  ByteLayerStep(std::shared_ptr<const ByteLayer> layer, const Slot& input, const Slot& output,
                const Slot* residual)
      : layer_(std::move(layer)),
        input_(input),
        output_(output),
        residual_(residual, byte_floats(image_out(layer_->plan.geometry))) {
    const BytePlan& plan = layer_->plan;
    const int64_t out = image_out(plan.geometry);
    require_floats("input", input.floats, byte_floats(image_in(plan.geometry)));
    require_floats("output", output.floats, plan.to_float ? out : byte_floats(out));
    require_apart(output, input);
    if (residual_ && plan.depthwise) fail("a depthwise layer of bytes adds no residual");
    if (residual_ && plan.to_float) require_apart(output, *residual_);
  }
  void run(const Frame& f) const override {
    const BytePlan& plan = layer_->plan;
    const int64_t out = plan.to_float ? output_.image : 4 * output_.image;
    layer_->kernels->conv.run(
        plan, {as_bytes(f.read(input_)), as_bytes(residual_.read(f, 0)), f.write(output_),
               4 * input_.image, residual_ ? 4 * residual_->image : 0, out, f.workspace, f.batch,
               f.threads});
  }
  int64_t workspace(int batch, int threads) const override {
    return layer_->kernels->conv.workspace(layer_->plan, batch, threads);
  }

 private:
  std::shared_ptr<const ByteLayer> layer_;
  Slot input_, output_;
  Residual residual_;
};

// Calls `body(image)` for each image.
template <class Body>
std::unique_ptr<Step> each_image(Body body) {
  return step_of([body = std::move(body)](const Frame& f) {
    for (int64_t image = 0; image < f.batch; ++image) body(f, image);
  });
}

}  // namespace

std::unique_ptr<Step> byte_layer_step(std::shared_ptr<const ByteLayer> layer, const Slot& input,
                                      const Slot& output, const Slot* residual) {
  if (!layer) fail("`layer` must be a packed layer, not none");
  if (!layer->kernels) fail("`layer` is packed for another instruction set, not for here");
  require_writable(output);
  return std::make_unique<ByteLayerStep>(std::move(layer), input, output, residual);
}

std::unique_ptr<Step> quantize_step(const ByteKernels& kernels, const Slot& input,
                                    const Slot& output, float inverse, const ByteRange& range) {
  check(range);
  require_scale(inverse);
  require_writable(output);
  require_apart(output, input);
  require_floats("output", output.floats, byte_floats(input.floats));
  return each_image([=, &kernels](const Frame& f, int64_t image) {
    const auto [zero, least, most] = range;
    kernels.quantize(f.read(input) + image * input.image,
                     as_bytes(f.write(output) + image * output.image), input.floats, inverse, zero,
                     least, most, f.threads);
  });
}

std::unique_ptr<Step> dequantize_step(const ByteKernels& kernels, const Slot& input,
                                      const Slot& output, ByteMap map) {
  require_zero(map.zero);
  require_scale(map.scale);
  require_writable(output);
  require_apart(output, input);
  require_floats("input", input.floats, byte_floats(output.floats));
  return each_image([=, &kernels](const Frame& f, int64_t image) {
    kernels.dequantize(as_bytes(f.read(input) + image * input.image),
                       f.write(output) + image * output.image, output.floats, map, f.threads);
  });
}

std::unique_ptr<Step> byte_pool_step(const ByteKernels& kernels, const Pool& pool,
                                     const Slot& input, const Slot& output) {
  check(pool);
  if (pool.average) fail("`pool` must be of maxima: bytes have no averages over windows");
  const int64_t padded = static_cast<int64_t>(pool.width) + 2 * pool.pad_x + pool.kernel_x;
  if (padded + pool.stride_x > most_pool_width) fail("`pool` has wider rows than bytes have");
  require_writable(output);
  require_apart(output, input);
  const int64_t channels = pool.channels;
  require_floats("input", input.floats, byte_floats(channels * pool.height * pool.width));
  require_floats("output", output.floats, byte_floats(channels * pool.out_height * pool.out_width));
  return each_image([=, &kernels](const Frame& f, int64_t image) {
    kernels.max_pool(pool, as_bytes(f.read(input) + image * input.image),
                     as_bytes(f.write(output) + image * output.image), f.threads);
  });
}

std::unique_ptr<Step> byte_mean_step(const ByteKernels& kernels, const Slot& input,
                                     const Slot& output, int64_t maps, int64_t pixels,
                                     int from_zero, float scale, const ByteRange& range) {
  check(range);
  require_zero(from_zero);
  require_scale(scale);
  require_range("pixels", pixels, 1, most_mean_pixels);
  require_range("maps", maps, 1, most_size);
  require_writable(output);
  require_apart(output, input);
  require_floats("input", input.floats, byte_floats(maps * pixels));
  require_floats("output", output.floats, byte_floats(maps));
  return each_image([=, &kernels](const Frame& f, int64_t image) {
    const auto [zero, least, most] = range;
    kernels.mean(as_bytes(f.read(input) + image * input.image),
                 as_bytes(f.write(output) + image * output.image), maps, pixels, from_zero, scale,
                 zero, least, most);
  });
}

std::unique_ptr<Step> byte_add_step(const ByteKernels& kernels, const Slot& a, const Slot& b,
                                    const Slot& output, ByteMap from_a, ByteMap from_b,
                                    const ByteRange& range) {
  check(range);
  for (const ByteMap& map : {from_a, from_b}) {
    require_zero(map.zero);
    require_scale(map.scale);
  }
  require_writable(output);
  require_floats("a", a.floats, output.floats);
  require_floats("b", b.floats, output.floats);
  return each_image([=, &kernels](const Frame& f, int64_t image) {
    const auto [zero, least, most] = range;
    kernels.add(as_bytes(f.read(a) + image * a.image), as_bytes(f.read(b) + image * b.image),
                as_bytes(f.write(output) + image * output.image), 4 * output.floats, from_a, from_b,
                zero, least, most, f.threads);
  });
}

}  // namespace openwork
