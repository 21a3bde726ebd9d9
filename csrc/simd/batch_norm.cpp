// f32-batch-norm: training's statistics, normalisation and gradients, with residual sum and
// activation.
//
// A thread takes a block of channels through all images: first the sums, then the pass that
// writes, so that the second pass finds in L2 what the first one has read. Maps in bfloat16 are
// computed with in float32, and rounded when they are written. Sums are of differences
// from a value near the mean, in float32 over at most 16 terms in each lane and in float64 from
// there on. Blocks depend on the sizes alone, and so do the results.
//
// Maps of one channel lie pages apart, where the processor's own prefetching ends: each image asks
// for what the next one reads and writes, which takes a fifth off the time of large maps.
#include "../batch_norm.h"

#include "bfloat16.h"
#include "over_vectors.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// Terms of two sums.
struct Terms {
  vec first, second;
};

// Numbers that a pass needs for each channel.
enum Number { centre, scale, shift, slope, offset, numbers };

constexpr int summed_images = 16;
// Floats that are summed in float32, 16 in each lane of four vectors.
constexpr int64_t summed = 64 * lanes;
// Maps below are so short that several channels' maps are treated as one row.
constexpr int64_t short_map = 65;
constexpr int row_floats = 1024;

OPENWORK_INLINE int64_t smaller64(int64_t a, int64_t b) { return a < b ? a : b; }

// Images whose maps are summed together in float32.
OPENWORK_INLINE int images_summed(int64_t pixels) {
  const int64_t fitting = summed / pixels;
  return static_cast<int>(fitting < 1 ? 1 : smaller64(fitting, summed_images));
}

// Lanes [0, count) of a vector, zero elsewhere.
OPENWORK_INLINE vec first_lanes(vec value, int count) {
  if (count == lanes) return value;
  ivec lane;
  for (int i = 0; i < lanes; ++i) lane[i] = i;
  return lane < count ? value : vec{};
}

OPENWORK_INLINE void fetch(const void* from) { __builtin_prefetch(from, 0); }

// What will be written is fetched as well: the cache takes whole lines.
OPENWORK_INLINE void fetch_to_write(const void* to) { __builtin_prefetch(to, 1); }

// One channel: each image has one row of it, and every lane needs the same numbers.
class OneChannel {
 public:
  static constexpr int most_channels = 1;

  OneChannel(const NormSizes& sizes, int channel) : pixels_(sizes.pixels), first_(channel) {}

  int first() const { return first_; }
  int channels() const { return 1; }
  int64_t row() const { return pixels_; }
  void set(Number number, int, float value) { values_[number] = broadcast(value); }
  vec get(Number number, int64_t) const { return values_[number]; }

  // Sums of `terms(image, at, count)` over the first `images` images.
  template <class Body>
  OPENWORK_INLINE_MEMBER void sum(int images, const Body& terms, double* first,
                                  double* second) const {
    const int step = images_summed(pixels_);
    *first = *second = 0;
    for (int image = 0; image < images; image += step) {
      const int last = smaller(image + step, images);
      for (int64_t start = 0; start < pixels_; start += summed) {
        const int64_t count = smaller64(pixels_ - start, summed);
        vec a[4]{}, b[4]{};
        for (int i = image; i < last; ++i)
          over_fours(count, [&](int64_t at, int n, int k) OPENWORK_INLINE_LAMBDA {
            const Terms found = terms(i, start + at, n);
            a[k] += found.first;
            b[k] += found.second;
          });
        *first += sum_of(a);
        *second += sum_of(b);
      }
    }
  }

 private:
  int64_t pixels_;
  int first_;
  vec values_[numbers];
};

// Several channels with short maps: each image has one row of them, and lanes differ.
class ShortMaps {
 public:
  static constexpr int most_channels = row_floats;

  ShortMaps(const NormSizes& sizes, int first, int channels)
      : pixels_(static_cast<int>(sizes.pixels)), first_(first), channels_(channels) {}

  static int at_once(const NormSizes& sizes) { return row_floats / static_cast<int>(sizes.pixels); }

  int first() const { return first_; }
  int channels() const { return channels_; }
  int64_t row() const { return static_cast<int64_t>(channels_) * pixels_; }
  void set(Number number, int channel, float value) {
    for (int i = 0; i < pixels_; ++i) values_[number][channel * pixels_ + i] = value;
  }
  vec get(Number number, int64_t at) const { return load(values_[number] + at); }

  template <class Body>
  OPENWORK_INLINE_MEMBER void sum(int images, const Body& terms, double* first,
                                  double* second) const {
    double whole[2][row_floats];
    const int width = channels_ * pixels_;
    for (int i = 0; i < width; ++i) whole[0][i] = whole[1][i] = 0;
    for (int image = 0; image < images; image += summed_images) {
      alignas(64) float part[2][row_floats + lanes];
      for (int i = 0; i < row_floats + lanes; ++i) part[0][i] = part[1][i] = 0;
      for (int i = image; i < smaller(image + summed_images, images); ++i)
        over_fours(width, [&](int64_t at, int n, int) OPENWORK_INLINE_LAMBDA {
          const Terms found = terms(i, at, n);
          store(part[0] + at, load(part[0] + at) + found.first);
          store(part[1] + at, load(part[1] + at) + found.second);
        });
      for (int i = 0; i < width; ++i) {
        whole[0][i] += static_cast<double>(part[0][i]);
        whole[1][i] += static_cast<double>(part[1][i]);
      }
    }
    for (int channel = 0; channel < channels_; ++channel) {
      first[channel] = second[channel] = 0;
      for (int i = 0; i < pixels_; ++i) {
        first[channel] += whole[0][channel * pixels_ + i];
        second[channel] += whole[1][channel * pixels_ + i];
      }
    }
  }

 private:
  int pixels_;
  int first_, channels_;
  // Loads of whole vectors may reach beyond the row.
  alignas(64) float values_[numbers][row_floats + lanes] = {};
};

// Calls `work(block)` for every block of channels.
template <class Work>
void over_blocks(const NormSizes& sizes, int threads, const Work& work) {
  if (sizes.pixels >= short_map) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int channel = 0; channel < sizes.channels; ++channel) {
      OneChannel block(sizes, channel);
      work(block);
    }
  } else {
    const int step = ShortMaps::at_once(sizes);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int channel = 0; channel < sizes.channels; channel += step) {
      ShortMaps block(sizes, channel, smaller(step, sizes.channels - channel));
      work(block);
    }
  }
}

template <class Block>
OPENWORK_INLINE vec normal(const Block& block, vec input, int64_t at) {
  return (input - block.get(centre, at)) * block.get(scale, at) + block.get(shift, at);
}

// NaN passes through, as in torch.
template <NormAct A>
OPENWORK_INLINE vec activated(vec value) {
  if constexpr (A == NormAct::none) return value;
  value = value < vec{} ? vec{} : value;
  if constexpr (A == NormAct::relu6) value = value > broadcast(6.f) ? broadcast(6.f) : value;
  return value;
}

// The gradient, but zero where the activation's output does not depend on its input. `output` may
// be what it was before the activation. NaN lets gradients through torch's ReLU, not its ReLU6.
template <NormAct A>
OPENWORK_INLINE vec open_gate(vec output, vec gradient) {
  if constexpr (A == NormAct::relu6) {
    gradient = output < broadcast(6.f) ? gradient : vec{};
    return output > vec{} ? gradient : vec{};
  }
  return output <= vec{} ? vec{} : gradient;
}

OPENWORK_INLINE bool is_finite(double value) { return value - value == 0; }

OPENWORK_INLINE float weight_of(const float* weight, int channel) {
  return weight ? weight[channel] : 1.f;
}

OPENWORK_INLINE float bias_of(const float* bias, int channel) { return bias ? bias[channel] : 0.f; }

// Mean and variance of each channel.
template <class T, class Block>
OPENWORK_INLINE void moments(const NormForward& f, Block& block, double* mean, double* variance) {
  const NormSizes& sizes = f.sizes;
  const T* input = static_cast<const T*>(f.input) + block.first() * sizes.pixels;
  double first[Block::most_channels], second[Block::most_channels];
  double pivot[Block::most_channels];
  const auto differences = [&](int image, int64_t at, int n) OPENWORK_INLINE_LAMBDA {
    const T* from = input + image * sizes.image() + at;
    fetch(from + sizes.image());
    const vec value = load_lanes(from, 0, n);
    const vec difference = first_lanes(value - block.get(centre, at), n);
    return Terms{difference, difference * difference};
  };
  // A first guess at the mean, from the first images.
  const int probed = smaller(sizes.batch, images_summed(sizes.pixels));
  for (int c = 0; c < block.channels(); ++c) block.set(centre, c, pivot[c] = 0);
  block.sum(probed, differences, first, second);
  const auto move = [&](int c, double to) {
    pivot[c] = is_finite(to) ? static_cast<double>(static_cast<float>(to)) : 0;
    block.set(centre, c, static_cast<float>(pivot[c]));
  };
  for (int c = 0; c < block.channels(); ++c)
    move(c, first[c] / (static_cast<double>(probed) * static_cast<double>(sizes.pixels)));
  const double count = static_cast<double>(sizes.batch) * static_cast<double>(sizes.pixels);
  for (int round = 0; round < 2; ++round) {
    block.sum(sizes.batch, differences, first, second);
    bool far = false;
    for (int c = 0; c < block.channels(); ++c) {
      const double distance = first[c] / count;
      const double rest = second[c] / count - distance * distance;
      mean[c] = pivot[c] + distance;
      variance[c] = rest < 0 ? 0 : rest;
      far |= distance * distance > 4 * variance[c];
    }
    // Where the guess was bad, the squares' difference lost digits: again, around the mean itself.
    if (!far || round == 1) return;
    for (int c = 0; c < block.channels(); ++c) move(c, mean[c]);
  }
}

template <class T, NormAct A, class Block>
OPENWORK_INLINE void forward_block(const NormForward& f, Block& block) {
  const NormSizes& sizes = f.sizes;
  double mean[Block::most_channels], variance[Block::most_channels];
  moments<T>(f, block, mean, variance);
  const double count = static_cast<double>(sizes.batch) * static_cast<double>(sizes.pixels);
  for (int c = 0; c < block.channels(); ++c) {
    const int channel = block.first() + c;
    const double rstd = 1 / __builtin_sqrt(variance[c] + f.eps);
    f.mean[channel] = static_cast<float>(mean[c]);
    f.rstd[channel] = static_cast<float>(rstd);
    f.unbiased[channel] = static_cast<float>(variance[c] * (count / (count - 1)));
    block.set(centre, c, f.mean[channel]);
    block.set(scale, c, f.rstd[channel] * weight_of(f.weight, channel));
    block.set(shift, c, bias_of(f.bias, channel));
  }
  // Backwards, so that the images read last come first.
  for (int image = sizes.batch - 1; image >= 0; --image) {
    const int64_t start = image * sizes.image() + block.first() * sizes.pixels;
    const T* input = static_cast<const T*>(f.input) + start;
    const T* residual = f.residual ? static_cast<const T*>(f.residual) + start : nullptr;
    T* output = static_cast<T*>(f.output) + start;
    over_fours(block.row(), [&](int64_t at, int n, int) OPENWORK_INLINE_LAMBDA {
      const int64_t next = at - sizes.image();
      fetch(input + next);
      fetch_to_write(output + next);
      vec value = normal(block, load_lanes(input + at, 0, n), at);
      if (residual) {
        fetch(residual + next);
        value += load_lanes(residual + at, 0, n);
      }
      store_lanes(output + at, activated<A>(value), n);
    });
  }
}

// What tells where the activation let the sums through.
enum class Gate { none, input, output };

template <class T, Gate G, NormAct A, class Block>
OPENWORK_INLINE void backward_block(const NormBackward& b, Block& block) {
  const NormSizes& sizes = b.sizes;
  const auto* all_input = static_cast<const T*>(b.input);
  const auto* all_gradient = static_cast<const T*>(b.gradient);
  const auto* all_output = static_cast<const T*>(b.output);
  auto* by_input = static_cast<T*>(b.grad_input);
  auto* by_residual = static_cast<T*>(b.grad_residual);
  const int64_t begin = block.first() * sizes.pixels;
  for (int c = 0; c < block.channels(); ++c) {
    const int channel = block.first() + c;
    block.set(centre, c, b.mean[channel]);
    block.set(scale, c, b.rstd[channel] * weight_of(b.weight, channel));
    block.set(shift, c, bias_of(b.bias, channel));
  }
  // The gradient behind the activation.
  const auto gated = [&](int64_t start, int64_t at, int n, vec input) OPENWORK_INLINE_LAMBDA {
    const vec gradient = load_lanes(all_gradient + start + at, 0, n);
    if constexpr (G == Gate::input) return open_gate<A>(normal(block, input, at), gradient);
    if constexpr (G == Gate::output)
      return open_gate<A>(load_lanes(all_output + start + at, 0, n), gradient);
    return gradient;
  };
  double first[Block::most_channels], second[Block::most_channels];
  block.sum(
      sizes.batch,
      [&](int image, int64_t at, int n) OPENWORK_INLINE_LAMBDA {
        const int64_t start = begin + image * sizes.image();
        const int64_t next = start + at + sizes.image();
        fetch(all_input + next);
        fetch(all_gradient + next);
        if constexpr (G == Gate::output) fetch(all_output + next);
        const vec input = load_lanes(all_input + start + at, 0, n);
        const vec gradient = gated(start, at, n, input);
        if (by_residual) {
          fetch_to_write(by_residual + next);
          store_lanes(by_residual + start + at, gradient, n);
        }
        return Terms{first_lanes(gradient, n),
                     first_lanes(gradient * (input - block.get(centre, at)), n)};
      },
      first, second);
  const double count = static_cast<double>(sizes.batch) * static_cast<double>(sizes.pixels);
  for (int c = 0; c < block.channels(); ++c) {
    const int channel = block.first() + c;
    const double rstd = static_cast<double>(b.rstd[channel]);
    const double factor = rstd * static_cast<double>(weight_of(b.weight, channel)) / count;
    if (b.grad_weight) b.grad_weight[channel] = static_cast<float>(second[c] * rstd);
    if (b.grad_bias) b.grad_bias[channel] = static_cast<float>(first[c]);
    block.set(slope, c, static_cast<float>(-factor * rstd * rstd * second[c]));
    block.set(offset, c, static_cast<float>(-factor * first[c]));
  }
  if (!by_input) return;
  const T* upstream = by_residual ? by_residual : all_gradient;
  for (int image = sizes.batch - 1; image >= 0; --image) {
    const int64_t start = begin + image * sizes.image();
    over_fours(block.row(), [&](int64_t at, int n, int) OPENWORK_INLINE_LAMBDA {
      const int64_t next = start + at - sizes.image();
      fetch(all_input + next);
      fetch(upstream + next);
      fetch_to_write(by_input + next);
      const vec input = load_lanes(all_input + start + at, 0, n);
      const vec gradient =
          by_residual ? load_lanes(by_residual + start + at, 0, n) : gated(start, at, n, input);
      const vec rest =
          (input - block.get(centre, at)) * block.get(slope, at) + block.get(offset, at);
      store_lanes(by_input + start + at, gradient * block.get(scale, at) + rest, n);
    });
  }
}

template <class T, NormAct A>
void forward_with(const NormForward& f, int threads) {
  over_blocks(f.sizes, threads,
              [&](auto& block) OPENWORK_INLINE_LAMBDA { forward_block<T, A>(f, block); });
}

template <class T, Gate G, NormAct A>
void backward_with(const NormBackward& b, int threads) {
  over_blocks(b.sizes, threads,
              [&](auto& block) OPENWORK_INLINE_LAMBDA { backward_block<T, G, A>(b, block); });
}

template <class T, NormAct A>
void gated_backward(const NormBackward& b, int threads) {
  if constexpr (A == NormAct::none)
    backward_with<T, Gate::none, A>(b, threads);
  else if (b.output)
    backward_with<T, Gate::output, A>(b, threads);
  else
    backward_with<T, Gate::input, A>(b, threads);
}

// Calls `body` with the type of the maps and the activation as template arguments.
template <class Call, class Body>
void with_kind(const Call& call, const Body& body) {
  with_type(call.type, [&]<class T>() {
    switch (call.act) {
      case NormAct::none:
        return body.template operator()<T, NormAct::none>();
      case NormAct::relu:
        return body.template operator()<T, NormAct::relu>();
      case NormAct::relu6:
        return body.template operator()<T, NormAct::relu6>();
    }
  });
}

void forward(const NormForward& f, int threads) {
  with_kind(f, [&]<class T, NormAct A>() { forward_with<T, A>(f, threads); });
}

void backward(const NormBackward& b, int threads) {
  with_kind(b, [&]<class T, NormAct A>() { gated_backward<T, A>(b, threads); });
}

}  // namespace

const BatchNorm batch_norm{forward, backward};

}  // namespace openwork::OPENWORK_NAMESPACE
