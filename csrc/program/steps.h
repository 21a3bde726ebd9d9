// The steps that a program is made of; each checks its slots against what it computes.
#pragma once
#include <memory>
#include <vector>

#include "../layer.h"
#include "../step_kernels.h"
#include "program.h"

namespace openwork {

// All throw std::invalid_argument for slots that do not fit.
std::unique_ptr<Step> layer_step(std::shared_ptr<const Layer> layer, const Slot& input,
                                 const Slot& output, const Slot* residual);
// Layers that run in bands, each of which reads what the one before it writes.
std::unique_ptr<Step> chain_step(std::vector<std::shared_ptr<const Layer>> layers,
                                 const Slot& input, const Slot& output, const Slot* residual);
// `shift` has one entry for each channel, or none; it replaces `pool.shift`.
std::unique_ptr<Step> pool_step(const Pooling& kernels, const Pool& pool, std::vector<float> shift,
                                const Slot& input, const Slot& output);
std::unique_ptr<Step> mean_step(const Pooling& kernels, const Slot& input, const Slot& output);
// `b` may be null: the activation alone.
std::unique_ptr<Step> add_step(const Elementwise& kernels, const Slot& a, const Slot* b,
                               const Slot& output, Activation activation);
std::unique_ptr<Step> affine_step(const Elementwise& kernels, std::vector<float> scale,
                                  std::vector<float> shift, Activation activation,
                                  const Slot& input, const Slot& output);
std::unique_ptr<Step> gate_step(const Elementwise& kernels, const Slot& input, const Slot& gates,
                                const Slot& output);
std::unique_ptr<Step> copy_step(const Slot& source, const Slot& target);
std::unique_ptr<Step> fill_step(const Moving& kernels, const Slot& target, float value);
// Places along the axes of one image, in floats: as many distances in each vector as sizes.
std::unique_ptr<Step> move_step(const Moving& kernels, const Slot& input, const Slot& output,
                                const std::vector<int64_t>& size, const std::vector<int64_t>& from,
                                const std::vector<int64_t>& to, int64_t first_from,
                                int64_t first_to);
// Maps of `height` x `width`; the vectors are those of `ResampleAxis`, for rows and columns. Empty
// weights stand for one tap of weight 1.
std::unique_ptr<Step> resample_step(const Resampling& kernels, const Slot& input,
                                    const Slot& output, int64_t height, int64_t width,
                                    std::vector<int32_t> row, std::vector<float> row_weight,
                                    int64_t row_taps, std::vector<int32_t> column,
                                    std::vector<float> column_weight, int64_t column_taps);
int parameters_of(Function function);
// `numbers`: one per parameter of the function.
std::unique_ptr<Step> map_step(const Functions& kernels, Function function,
                               const std::vector<float>& numbers, const Slot& input,
                               const Slot& output);
std::unique_ptr<Step> combine_step(const Functions& kernels, Operation operation, const Slot& a,
                                   const Slot& b, const Slot& output);
// Images [outer, repeats, inner] and [outer, inner].
std::unique_ptr<Step> spread_step(const Functions& kernels, Operation operation, const Slot& a,
                                  const Slot& b, const Slot& output, int64_t inner);
// `slope` has one entry for each channel.
std::unique_ptr<Step> prelu_step(const Functions& kernels, std::vector<float> slope,
                                 const Slot& input, const Slot& output);
// Along an axis of `size`, whose numbers are `inner` floats apart.
std::unique_ptr<Step> softmax_step(const Functions& kernels, const Slot& input, const Slot& output,
                                   int64_t size, int64_t inner, bool log);
// Along such an axis. `weight` and `bias` have one entry for each `repeat` numbers along it, or
// along all such axes of an image, or none.
std::unique_ptr<Step> normalize_step(const Normalizing& kernels, const Slot& input,
                                     const Slot& output, int64_t size, int64_t inner,
                                     int64_t repeat, float eps, std::vector<float> weight,
                                     std::vector<float> bias, Activation activation);
std::unique_ptr<Step> reduce_step(const Normalizing& kernels, Reduction reduction,
                                  const Slot& input, const Slot& output, int64_t size,
                                  int64_t inner);
// Each row of `input` times `factors`, summed.
std::unique_ptr<Step> dot_step(const Normalizing& kernels, const Slot& input, const Slot& factors,
                               const Slot& output);

}  // namespace openwork
