// f32-linear-gemv: sparse matrix times vectors. Weights and indices are read once, in order.
#include "../linear.h"
#include "gemv_sums.h"
#include "linear.h"
#include "shuffle.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// Images side by side for each input: one load reads all of them.
constexpr int most_width = lanes == 16 ? 16 : 8;

constexpr int width_of(int images) {
  return images == 1 ? 1 : images <= 4 ? 4 : images <= 8 || most_width == 8 ? 8 : 16;
}

template <class Body>
OPENWORK_INLINE void with_width(int images, const Body& body) {
  switch (width_of(images)) {
    case 1:
      return body.template operator()<1>();
    case 4:
      return body.template operator()<4>();
    case 8:
      return body.template operator()<8>();
    default:
      return body.template operator()<most_width>();
  }
}

struct Scratch {
  int64_t spread, sums;  // floats of each

  Scratch(const GemvPlan& plan, int batch) {
    const int width = width_of(smaller(batch, most_width));
    spread = round_up(static_cast<int64_t>(plan.chunks) * (plan.chunk + 1) * width, 16);
    sums = static_cast<int64_t>(plan.geometry.out_channels) * width;
  }
};

// Sums of one slice, [images][rows].
template <int G, int W>
OPENWORK_INLINE void run_slice(const GemvPlan& plan, const float* x, int64_t slice, int images,
                               float* sums) {
  constexpr int units = lanes / G;
  const int64_t rows = plan.geometry.out_channels;
  const int64_t* start = plan.start + slice * plan.chunks;
  const int32_t* row = plan.row + slice * lanes;
  SliceSums<G, W> slice_sums;
  for (int chunk = 0; chunk < plan.chunks; ++chunk)
    slice_sums.add(x + static_cast<int64_t>(chunk) * (plan.chunk + 1) * W,
                   plan.index + start[chunk] * units, plan.weight + start[chunk] * lanes,
                   start[chunk + 1] - start[chunk]);
  float line[lanes * W];
  slice_sums.write(line);
  for (int lane = 0; lane < lanes; ++lane)
    for (int i = 0; row[lane] >= 0 && i < images; ++i)
      sums[i * rows + row[lane]] = line[lane * W + i];
}

// Inputs [first, last) of `images` images side by side, the first of them at `x`.
template <int W>
OPENWORK_INLINE void spread_inputs(const Run& run, int image, int images, int64_t first,
                                   int64_t last, float* x) {
  const float* from = run.input + image * run.in_image + first;
  const int64_t count = last - first;
  int64_t at = 0;
  if constexpr (W == 4) {
    for (; at + lanes <= count; at += lanes) {
      vec side[4];
      for (int i = 0; i < 4; ++i) side[i] = i < images ? load(from + i * run.in_image + at) : vec{};
      join(side);
      for (int i = 0; i < 4; ++i) store(x + at * 4 + i * lanes, side[i]);
    }
  }
  for (int i = 0; i < W; ++i)
    for (int64_t k = at; k < count; ++k) x[k * W + i] = i < images ? from[i * run.in_image + k] : 0;
}

// One thread's part of the inputs of all chunks, and of the zeros that follow each chunk's.
template <int W>
OPENWORK_INLINE void spread_chunks(const GemvPlan& plan, const Run& run, int image, int images,
                                   const Part& part, float* x) {
  const int64_t inputs = plan.geometry.in_channels;
  const int64_t first = part.begin(inputs), last = part.end(inputs);
  for (int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
    const int64_t begin = chunk * plan.chunk, end = begin + plan.chunk;
    float* to = x + (begin + chunk) * W;
    const int64_t low = first < begin ? begin : first;
    const int64_t high = last < end ? last : end;
    if (low < high) spread_inputs<W>(run, image, images, low, high, to + (low - begin) * W);
    const int64_t filled = (inputs < end ? inputs : end) - begin;
    if (part.part == 0)
      for (int64_t i = filled * W; i < static_cast<int64_t>(plan.chunk + 1) * W; ++i) to[i] = 0;
  }
}

// The first slice of those that begin at or after `step`.
OPENWORK_INLINE int64_t slice_at(const GemvPlan& plan, int64_t step) {
  int64_t low = 0, high = plan.slices;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (plan.start[middle * plan.chunks] < step)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

template <int W>
void run_images(const GemvPlan& plan, const Run& run, const Part& part, int image, int images) {
  float* x = run.workspace;
  float* sums = x + Scratch(plan, run.batch).spread;
  spread_chunks<W>(plan, run, image, images, part, x);
#pragma omp barrier
  // Threads take equal numbers of steps; slices without any are the last thread's.
  const int64_t steps = plan.start[static_cast<int64_t>(plan.slices) * plan.chunks];
  const int64_t first = part.part == 0 ? 0 : slice_at(plan, part.begin(steps));
  const int64_t last = part.part + 1 == part.parts ? plan.slices : slice_at(plan, part.end(steps));
  for (int64_t slice = first; slice < last; ++slice) {
    if (plan.group == 1)
      run_slice<1, W>(plan, x, slice, images, sums);
    else if (plan.group == lanes)
      run_slice<lanes, W>(plan, x, slice, images, sums);
    else
      run_slice<4, W>(plan, x, slice, images, sums);
  }
#pragma omp barrier
  const int rows = plan.geometry.out_channels;
  finish_rows(plan.epilogue, run, sums, rows, image, images, part.begin(rows), part.end(rows));
}

void run(const GemvPlan& plan, const Run& run) {
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  {
    const Part part;
    for (int image = 0; image < run.batch; image += most_width) {
      const int images = smaller(run.batch - image, most_width);
      with_width(images, [&]<int W>() { run_images<W>(plan, run, part, image, images); });
    }
  }
}

int64_t workspace(const GemvPlan& plan, int batch, int) {
  const Scratch scratch(plan, batch);
  return scratch.spread + scratch.sums;
}

const char* refusal(const GemvPlan& plan) {
  return plan.lanes == lanes ? nullptr : "slices are not as wide as a vector";
}

}  // namespace

const Kernel<GemvPlan> gemv{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
