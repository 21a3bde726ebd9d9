// What networks of bytes need besides convolutions. Loops are left to the compiler's vectors.
#include "byte_table.h"
#include "byte_vec.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

constexpr int64_t piece = 4096;

OPENWORK_INLINE uint8_t to_byte(float value, int zero, int least, int most) {
  const float low = static_cast<float>(least - zero), high = static_cast<float>(most - zero);
  value = value >= low ? value : low;  // NaN too
  value = value > high ? high : value;
  // To the nearest, halves to even, as `nearest` does.
  const float shifted = value + 12582912.f;
  return static_cast<uint8_t>(static_cast<int>(shifted - 12582912.f) + zero);
}

OPENWORK_INLINE int64_t end_of(int64_t at, int64_t count) {
  return count - at < piece ? count : at + piece;
}

void quantize(const float* input, uint8_t* output, int64_t count, float inverse, int zero,
              int least, int most, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t at = 0; at < count; at += piece)
    for (int64_t i = at; i < end_of(at, count); ++i)
      output[i] = to_byte(input[i] * inverse, zero, least, most);
}

void dequantize(const uint8_t* input, float* output, int64_t count, ByteMap map, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t at = 0; at < count; at += piece)
    for (int64_t i = at; i < end_of(at, count); ++i)
      output[i] = static_cast<float>(input[i] - map.zero) * map.scale;
}

// to[x] = the largest of `count` bytes from from[x] on, `step` apart. Writes whole vectors, with
// zeros after the last of fewer bytes.
OPENWORK_INLINE void largest(const uint8_t* from, int64_t step, int count, uint8_t* to, int width) {
  for (int x = 0; x < width; x += pixels) {
    // The last vector overlaps the one before it.
    const int at = smaller(x, larger(0, width - pixels));
    bytes most{};
    for (int k = 0; k < count; ++k) {
      const uint8_t* line = from + at + k * step;
      most = greater(most, width < pixels ? load_part(bytes{}, line, 0, width) : load_bytes(line));
    }
    store_bytes(to + at, most);
  }
}

void max_pool(const Pool& p, const uint8_t* input, uint8_t* output, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int channel = 0; channel < p.channels; ++channel) {
    // Zeros are the least; a window holds a pixel of the map at least.
    uint8_t line[most_pool_width + 2 * pixels]{}, widest[most_pool_width + pixels];
    const int padded = (p.out_width - 1) * p.stride_x + p.kernel_x;
    const int inside = smaller(p.width, padded - p.pad_x);
    const uint8_t* map = input + static_cast<int64_t>(channel) * p.height * p.width;
    uint8_t* to = output + static_cast<int64_t>(channel) * p.out_height * p.out_width;
    for (int y = 0; y < p.out_height; ++y, to += p.out_width) {
      const int top = y * p.stride_y - p.pad_y;
      const int first = larger(0, top), stop = smaller(p.height, top + p.kernel_y);
      largest(map + static_cast<int64_t>(first) * p.width, p.width, stop - first, line + p.pad_x,
              inside);
      largest(line, 1, p.kernel_x, widest, padded - p.kernel_x + 1);
      copy_every(to, widest, p.out_width, p.stride_x);
    }
  }
}

void mean(const uint8_t* input, uint8_t* output, int64_t maps, int64_t count, int from_zero,
          float scale, int zero, int least, int most) {
  for (int64_t map = 0; map < maps; ++map, input += count) {
    int32_t sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += input[i];
    const int32_t centred = sum - static_cast<int32_t>(count) * from_zero;
    output[map] = to_byte(static_cast<float>(centred) * scale, zero, least, most);
  }
}

void add(const uint8_t* a, const uint8_t* b, uint8_t* output, int64_t count, ByteMap from_a,
         ByteMap from_b, int zero, int least, int most, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t at = 0; at < count; at += piece)
    for (int64_t i = at; i < end_of(at, count); ++i) {
      const float first = static_cast<float>(a[i] - from_a.zero) * from_a.scale;
      const float second = static_cast<float>(b[i] - from_b.zero) * from_b.scale;
      output[i] = to_byte(first + second, zero, least, most);
    }
}

#if defined(__AVX512VNNI__)
constexpr const char* name = "avx512vnni";
#elif defined(__AVX512F__)
constexpr const char* name = "avx512";
#elif defined(__AVXVNNI__)
constexpr const char* name = "avxvnni";
#elif defined(__AVX2__)
constexpr const char* name = "avx2";
#elif defined(__x86_64__)
constexpr const char* name = "baseline";
#else
constexpr const char* name = "neon";
#endif

}  // namespace

const ByteKernels& byte_kernels() {
  static const ByteKernels table{name,       pixels,   narrow_sums, byte_conv, quantize,
                                 dequantize, max_pool, mean,        add};
  return table;
}

}  // namespace openwork::OPENWORK_NAMESPACE
