// A packed layer as Python holds it: the plan, its kernel, and the arrays that both borrow.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../kernels.h"

namespace openwork {

namespace nb = nanobind;

using Input = nb::ndarray<const float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Workspace = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

class Layer {
 public:
  virtual ~Layer() = default;

  void run(const Input& input, const Output& output, const std::optional<Input>& residual,
           const Workspace& workspace, int threads) const;
  // For callers that have checked shapes and hold enough workspace.
  void run_unchecked(const Run& run) const { run_kernel(run); }
  int64_t workspace(int batch, int threads) const;
  const Geometry& geometry() const { return geometry_; }

 protected:
  explicit Layer(const Geometry& geometry) : geometry_(geometry) {}
  virtual void run_kernel(const Run& run) const = 0;
  virtual int64_t workspace_floats(int batch, int threads) const = 0;

 private:
  Geometry geometry_;
};

template <class Plan>
class PackedLayer final : public Layer {
 public:
  // `arrays` are those that `plan` points into.
  PackedLayer(const Plan& plan, const Kernel<Plan>& kernel, std::vector<nb::object> arrays)
      : Layer(plan.geometry), plan_(plan), kernel_(kernel), arrays_(std::move(arrays)) {
    if (const char* reason = kernel.refusal(plan)) throw std::invalid_argument(reason);
  }

 private:
  void run_kernel(const Run& run) const override { kernel_.run(plan_, run); }
  int64_t workspace_floats(int batch, int threads) const override {
    return kernel_.workspace(plan_, batch, threads);
  }

  Plan plan_;
  Kernel<Plan> kernel_;
  std::vector<nb::object> arrays_;
};

}  // namespace openwork
