// f32-elementwise: sums, scales and gates.
#include "../elementwise.h"

#include "epilogue.h"
#include "over_vectors.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

void add(const float* a, const float* b, float* output, int64_t count, Activation activation,
         int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t start = 0; start < count; start += piece) {
    const int64_t size = start + piece < count ? piece : count - start;
    over_vectors(size, [&](int64_t at, int n) {
      vec value = load_lanes(a + start + at, 0, n);
      if (b) value += load_lanes(b + start + at, 0, n);
      store_lanes(output + start + at, activate(activation, value), n);
    });
  }
}

void affine(const Affine& affine, const float* input, float* output, int batch, int channels,
            int64_t pixels, int threads) {
  const int64_t maps = static_cast<int64_t>(batch) * channels;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t map = 0; map < maps; ++map) {
    const vec scale = broadcast(affine.scale[map % channels]);
    const vec shift = broadcast(affine.shift[map % channels]);
    over_vectors(pixels, [&](int64_t at, int n) {
      const vec value = load_lanes(input + map * pixels + at, 0, n) * scale + shift;
      store_lanes(output + map * pixels + at, activate(affine.activation, value), n);
    });
  }
}

void gate(const float* input, const float* gates, float* output, int64_t maps, int64_t pixels,
          int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t map = 0; map < maps; ++map) {
    const vec factor = broadcast(gates[map]);
    over_vectors(pixels, [&](int64_t at, int n) {
      const vec value = load_lanes(input + map * pixels + at, 0, n) * factor;
      store_lanes(output + map * pixels + at, value, n);
    });
  }
}

}  // namespace

const Elementwise elementwise{add, affine, gate};

}  // namespace openwork::OPENWORK_NAMESPACE
