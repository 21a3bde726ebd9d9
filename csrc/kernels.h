// The table of kernels that each instruction set provides.
#pragma once
#include <cstddef>

#include "batch_norm.h"
#include "elementwise.h"
#include "linear.h"
#include "max_pool2d.h"
#include "plans.h"
#include "pool.h"
#include "training.h"

namespace openwork {

template <class Plan, class Call = Run>
struct Kernel {
  void (*run)(const Plan&, const Call&);
  int64_t (*workspace)(const Plan&, int batch, int threads);  // floats
  const char* (*refusal)(const Plan&);                        // null if the plan can run
};

// Register tiles of one kernel, (rows or filters, vectors) each.
struct TileSizes {
  const int (*sizes)[2];
  int count;
};

struct Kernels {
  int lanes;                       // floats in one vector
  int (*most_vectors)(int group);  // in a tile of a product
  TileSizes row_tiles, tap_tiles, dense_tiles;
  Kernel<SpmmPlan> spmm;
  Kernel<WinogradPlan> winograd;
  Kernel<DirectPlan> direct;
  Kernel<TapsPlan> taps;
  Kernel<DepthwisePlan> depthwise;
  Kernel<DensePlan> dense;
  Kernel<GemvPlan> gemv;
  Kernel<DenseGemvPlan> dense_gemv;
  Kernel<SampledSpmmPlan, SampledRun> sampled_spmm;
  Kernel<SampledWinogradPlan, SampledRun> sampled_winograd;
  Kernel<SampledDirectPlan, SampledRun> sampled_direct;
  Kernel<SampledDepthwisePlan, SampledRun> sampled_depthwise;
  Kernel<TransposedDepthwisePlan> transposed_depthwise;
  Training training;
  Pooling pooling;
  Elementwise elementwise;
  BatchNorm batch_norm;
  MaxPool2d max_pool2d;
  Kernel<PairPlan> pairs;
};

}  // namespace openwork
