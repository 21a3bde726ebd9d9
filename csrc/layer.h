// A packed layer: a plan, the kernel that runs it, and the arrays that the plan points into.
#pragma once
#include <memory>
#include <stdexcept>
#include <utility>

#include "kernels.h"

namespace openwork {

struct Packing;

class Layer {
 public:
  virtual ~Layer() = default;

  const Geometry& geometry() const { return geometry_; }
  // Floats that `run` needs as its workspace.
  virtual int64_t workspace(int batch, int threads) const = 0;
  // Checks nothing: the caller has compared shapes and holds enough workspace.
  virtual void run(const Run& run) const = 0;
  // Whether `run_band` works.
  virtual bool runs_in_bands() const = 0;
  // As if the input were as high as the band says; no higher than it is.
  virtual void run_band(const Run& run, const Band& band) const = 0;

  // What it was made of, as packed/packing.h has it; null if it cannot be written to a file.
  const Packing* packing() const { return packing_.get(); }
  void remember(std::shared_ptr<const Packing> packing) { packing_ = std::move(packing); }

 protected:
  explicit Layer(const Geometry& geometry) : geometry_(geometry) {}

 private:
  Geometry geometry_;
  std::shared_ptr<const Packing> packing_;
};

// Whether a plan's arrays are the same for any height, and its kernel takes distances from map to
// map.
template <class Plan>
constexpr bool runs_in_bands = false;
template <>
inline constexpr bool runs_in_bands<SpmmPlan> = true;
template <>
inline constexpr bool runs_in_bands<PairPlan> = true;
template <>
inline constexpr bool runs_in_bands<DensePlan> = true;
template <>
inline constexpr bool runs_in_bands<DepthwisePlan> = true;

template <class Plan>
class PackedLayer final : public Layer {
 public:
  // `arrays` keeps alive what `plan` points into. Throws std::invalid_argument if the kernel
  // refuses the plan.
  PackedLayer(const Plan& plan, const Kernel<Plan>& kernel, std::shared_ptr<const void> arrays)
      : Layer(plan.geometry), plan_(plan), kernel_(kernel), arrays_(std::move(arrays)) {
    if (const char* reason = kernel.refusal(plan)) throw std::invalid_argument(reason);
  }

  int64_t workspace(int batch, int threads) const override {
    return kernel_.workspace(plan_, batch, threads);
  }
  void run(const Run& run) const override { kernel_.run(plan_, run); }
  bool runs_in_bands() const override { return openwork::runs_in_bands<Plan>; }
  void run_band(const Run& run, const Band& band) const override {
    Plan plan = plan_;
    plan.geometry.height = band.height;
    plan.geometry.out_height = band.out_height;
    plan.geometry.pad_y = band.pad_y;
    kernel_.run(plan, run);
  }

 private:
  Plan plan_;
  Kernel<Plan> kernel_;
  std::shared_ptr<const void> arrays_;
};

}  // namespace openwork
