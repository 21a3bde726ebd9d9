// The kernels of one instruction set, as the files beside this one define them.
#pragma once
#include "../kernels.h"

namespace openwork::OPENWORK_NAMESPACE {

extern const Kernel<SpmmPlan> spmm;
extern const Kernel<PairPlan> pairs;
extern const Kernel<WinogradPlan> winograd;
extern const Kernel<DirectPlan> direct;
extern const Kernel<TapsPlan> taps;
extern const Kernel<DepthwisePlan> depthwise;
extern const Kernel<DensePlan> dense;
extern const Kernel<GemvPlan> gemv;
extern const Kernel<DenseGemvPlan> dense_gemv;
extern const Kernel<SampledSpmmPlan, SampledRun> sampled_spmm;
extern const Kernel<SampledWinogradPlan, SampledRun> sampled_winograd;
extern const Kernel<SampledDirectPlan, SampledRun> sampled_direct;
extern const Kernel<SampledDepthwisePlan, SampledRun> sampled_depthwise;
extern const Kernel<TransposedDepthwisePlan> transposed_depthwise;
extern const Training training;
extern const Pooling pooling;
extern const Elementwise elementwise;
extern const BatchNorm batch_norm;
extern const MaxPool2d max_pool2d;
const Kernels& kernels();

}  // namespace openwork::OPENWORK_NAMESPACE
