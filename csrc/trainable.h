// A packed layer that is given its live weights with each call.
#pragma once
#include <memory>
#include <stdexcept>
#include <utility>

#include "kernels.h"

namespace openwork {

inline void set_weights(SpmmPlan& plan, const float* weight) { plan.lists.weight = weight; }
inline void set_weights(WinogradPlan& plan, const float* weight) { plan.lists.weight = weight; }
inline void set_weights(DirectPlan& plan, const float* weight) { plan.weight = weight; }
inline void set_weights(TapsPlan& plan, const float* weight) { plan.weight = weight; }
inline void set_weights(DepthwisePlan& plan, const float* weight) { plan.weight = weight; }
inline void set_weights(TransposedDepthwisePlan& plan, const float* weight) {
  plan.weight = weight;
}

// The sizes of a call: what it is given, and what it writes.
template <class Plan>
Geometry call_sizes(const Plan& plan) {
  return plan.geometry;
}
inline Geometry call_sizes(const TransposedDepthwisePlan& plan) {
  Geometry g = plan.geometry;
  std::swap(g.in_channels, g.out_channels);
  std::swap(g.height, g.out_height);
  std::swap(g.width, g.out_width);
  return g;
}

class Trainable {
 public:
  virtual ~Trainable() = default;

  // Sizes of a call.
  const Geometry& geometry() const { return geometry_; }
  const Refill& refill() const { return refill_; }
  // Floats that `run` needs as its workspace: packed weights, then the kernel's.
  int64_t workspace(int batch, int threads) const {
    return packed_floats() + kernel_workspace(batch, threads);
  }
  // `values`: (live,); `bias`: (out_channels,) or null. Checks nothing: the caller has.
  virtual void run(const Run& run, const float* values, const float* bias) const = 0;

 protected:
  Trainable(const Geometry& geometry, const Refill& refill)
      : geometry_(geometry), refill_(refill) {}

  virtual int64_t kernel_workspace(int batch, int threads) const = 0;
  int64_t packed_floats() const {
    const int side = refill_.output ? refill_.output + 2 : 1;
    return (refill_.packed * side * side + 15) / 16 * 16;
  }

 private:
  Geometry geometry_;
  Refill refill_;
};

template <class Plan>
class TrainableLayer final : public Trainable {
 public:
  // `arrays` keeps alive what `plan` and `refill` point into. Throws std::invalid_argument if the
  // kernel refuses the plan.
  TrainableLayer(const Plan& plan, const Refill& refill, const Kernel<Plan>& kernel,
                 const Training& training, std::shared_ptr<const void> arrays)
      : Trainable(call_sizes(plan), refill),
        plan_(plan),
        kernel_(kernel),
        training_(training),
        arrays_(std::move(arrays)) {
    if (const char* reason = kernel.refusal(plan)) throw std::invalid_argument(reason);
  }

  void run(const Run& run, const float* values, const float* bias) const override {
    Plan plan = plan_;
    set_weights(plan, run.workspace);
    plan.epilogue.bias = bias;
    training_.refill(refill(), values, run.workspace, run.threads);
    Run rest = run;
    rest.workspace += packed_floats();
    kernel_.run(plan, rest);
  }

 protected:
  int64_t kernel_workspace(int batch, int threads) const override {
    return kernel_.workspace(plan_, batch, threads);
  }

 private:
  Plan plan_;
  Kernel<Plan> kernel_;
  Training training_;
  std::shared_ptr<const void> arrays_;
};

}  // namespace openwork
