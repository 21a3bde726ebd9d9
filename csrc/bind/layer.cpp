#include "layer.h"

namespace openwork {

namespace {

template <class Tensor>
void check_shape(const char* name, const Tensor& tensor, int64_t batch, int channels, int height,
                 int width) {
  const int64_t wanted[4] = {batch, channels, height, width};
  bool same = true;
  std::string found, rule;
  for (size_t axis = 0; axis < 4; ++axis) {
    same = same && static_cast<int64_t>(tensor.shape(axis)) == wanted[axis];
    found += (axis ? ", " : "") + std::to_string(tensor.shape(axis));
    rule += (axis ? ", " : "") + std::to_string(wanted[axis]);
  }
  if (!same)
    throw std::invalid_argument("`" + std::string(name) + "` has shape (" + found +
                                "), but this layer needs (" + rule + ")");
}

void check_threads(int threads) {
  if (threads < 1 || threads > 4096)
    throw std::invalid_argument("`threads`=" + std::to_string(threads) + " must lie in [1, 4096]");
}

}  // namespace

int64_t Layer::workspace(int batch, int threads) const {
  check_threads(threads);
  if (batch < 1)
    throw std::invalid_argument("`batch`=" + std::to_string(batch) + " must be at least 1");
  return workspace_floats(batch, threads);
}

void Layer::run(const Input& input, const Output& output, const std::optional<Input>& residual,
                const Workspace& workspace, int threads) const {
  const Geometry& g = geometry_;
  const int batch = static_cast<int>(input.shape(0));
  const int64_t needed = this->workspace(batch, threads);
  check_shape("input", input, batch, g.in_channels, g.height, g.width);
  check_shape("output", output, batch, g.out_channels, g.out_height, g.out_width);
  if (residual)
    check_shape("residual", *residual, batch, g.out_channels, g.out_height, g.out_width);
  if (static_cast<int64_t>(workspace.size()) < needed)
    throw std::invalid_argument("`workspace` has " + std::to_string(workspace.size()) +
                                " floats, but this layer needs " + std::to_string(needed));
  const Run run{input.data(),
                residual ? residual->data() : nullptr,
                output.data(),
                static_cast<int64_t>(g.in_channels) * g.height * g.width,
                static_cast<int64_t>(g.out_channels) * g.out_height * g.out_width,
                workspace.data(),
                batch,
                threads};
  nb::gil_scoped_release release;
  run_kernel(run);
}

}  // namespace openwork
