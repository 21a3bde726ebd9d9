// f32-linear-dense: dense matrix times vectors. A tile of rows passes all inputs at once, so that
// each weight is read from memory once, and an input that is loaded serves all rows of the tile.
#include "../linear.h"
#include "linear.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// Images whose sums are kept in registers together.
constexpr int most_images = 4;

// Rows in a tile: the sums must leave room for the inputs and a weight.
constexpr int rows_of(int images) {
  return images > 2 ? (registers - most_images - 2) / most_images : registers / 4;
}

// Floats ahead of the sums at which each row's weights are fetched.
constexpr int ahead = 256;

OPENWORK_INLINE float sum_of(vec value) {
  float line[lanes];
  store(line, value);
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) line[i] += line[i + half];
  return line[0];
}

// sums[image][row] of R rows and B images.
template <int R, int B>
void run_tile(const float* weight, int64_t inputs, const float* x, int64_t in_image, float* sums,
              int64_t rows) {
  vec sum[R][B] = {};
  const auto add = [&](int64_t at, const auto& read) {
    vec in[B];
#pragma GCC unroll 4
    for (int b = 0; b < B; ++b) in[b] = read(x + b * in_image + at);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const vec w = read(weight + r * inputs + at);
      __builtin_prefetch(weight + r * inputs + at + ahead, 0, 3);
#pragma GCC unroll 4
      for (int b = 0; b < B; ++b) sum[r][b] += w * in[b];
    }
  };
  int64_t at = 0;
  for (; at + lanes <= inputs; at += lanes) add(at, [](const float* from) { return load(from); });
  const int rest = static_cast<int>(inputs - at);
  if (rest > 0) add(at, [&](const float* from) { return load_part(from, 0, rest); });
  for (int b = 0; b < B; ++b)
    for (int r = 0; r < R; ++r) sums[b * rows + r] = sum_of(sum[r][b]);
}

template <int R>
OPENWORK_INLINE void run_rows(const DenseGemvPlan& plan, const Run& run, int64_t row, float* sums) {
  const int64_t inputs = plan.geometry.in_channels, rows = plan.geometry.out_channels;
  const float* weight = plan.weight + row * inputs;
  for (int image = 0; image < run.batch; image += most_images) {
    const float* x = run.input + image * run.in_image;
    float* to = sums + image * rows + row;
    switch (smaller(run.batch - image, most_images)) {
      case 1:
        run_tile<R, 1>(weight, inputs, x, run.in_image, to, rows);
        break;
      case 2:
        run_tile<R, 2>(weight, inputs, x, run.in_image, to, rows);
        break;
      case 3:
        run_tile<R, 3>(weight, inputs, x, run.in_image, to, rows);
        break;
      default:
        run_tile<R, 4>(weight, inputs, x, run.in_image, to, rows);
    }
  }
}

// Rows [first, last).
template <int R>
void run_part(const DenseGemvPlan& plan, const Run& run, int64_t first, int64_t last, float* sums) {
  int64_t row = first;
  for (; row + R <= last; row += R) run_rows<R>(plan, run, row, sums);
  for (; row < last; ++row) run_rows<1>(plan, run, row, sums);
}

void run(const DenseGemvPlan& plan, const Run& run) {
  float* sums = run.workspace;
  const int rows = plan.geometry.out_channels;
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  {
    const Part part;
    const int64_t first = part.begin(rows), last = part.end(rows);
    if (run.batch > 2)
      run_part<rows_of(most_images)>(plan, run, first, last, sums);
    else
      run_part<rows_of(1)>(plan, run, first, last, sums);
    finish_rows(plan.epilogue, run, sums, rows, 0, run.batch, first, last);
  }
}

int64_t workspace(const DenseGemvPlan& plan, int batch, int) {
  return static_cast<int64_t>(plan.geometry.out_channels) * batch;
}

const char* refusal(const DenseGemvPlan&) { return nullptr; }

}  // namespace

const Kernel<DenseGemvPlan> dense_gemv{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
