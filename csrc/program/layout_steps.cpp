// Steps that move numbers, or weigh those of other places.
#include <algorithm>
#include <cstdlib>

#include "body_step.h"
#include "steps.h"

namespace openwork {

namespace {

// The axes of one image; every place that they reach lies within both slots.
Move checked_move(const Slot& input, const Slot& output, const std::vector<int64_t>& size,
                  const std::vector<int64_t>& from, const std::vector<int64_t>& to,
                  int64_t first_from, int64_t first_to) {
  const int axes = static_cast<int>(std::min<size_t>(size.size(), most_axes));
  // One is the batch.
  if (size.empty() || size.size() >= most_axes || from.size() != size.size() ||
      to.size() != size.size())
    fail("`size`, `from` and `to` must have the same number of axes, from 1 to ", most_axes - 1);
  require_range("first_from", first_from, 0, input.floats - 1);
  require_range("first_to", first_to, 0, output.floats - 1);
  Move move{.axes = axes, .size = {}, .from = {}, .to = {}};
  int64_t least = first_from, most = first_from, last = 0;
  for (int axis = axes - 1; axis >= 0; --axis) {
    require_range("size", size[axis], 1, output.floats);
    move.size[axis] = size[axis];
    // From one place nothing leads to a next one.
    if (size[axis] == 1) continue;
    require_range("from", from[axis], -input.floats, input.floats);
    require_range("to", to[axis], 1, output.floats);
    // Each float is written once.
    if (to[axis] <= last) fail("`to` must rise from the last axis to the first");
    // Sizes and distances are below 2^41, but their product may not be.
    const double reach = static_cast<double>(size[axis] - 1) *
                         static_cast<double>(std::max(std::abs(from[axis]), to[axis]));
    if (reach > 2.0 * most_floats) fail("`size` and its distances reach beyond the slots");
    const int64_t step = (size[axis] - 1) * from[axis];
    (step < 0 ? least : most) += step;
    last += (size[axis] - 1) * to[axis];
    move.from[axis] = from[axis], move.to[axis] = to[axis];
  }
  require_range("from", least, 0, input.floats - 1);
  require_range("from", most, 0, input.floats - 1);
  require_range("to", first_to + last, 0, output.floats - 1);
  return move;
}

// With the batch in front, without axes of one place, neighbours put together where they can be.
Move whole_move(const Move& image, const Slot& input, const Slot& output, int batch) {
  Move move{};
  const auto add = [&](int64_t size, int64_t from, int64_t to) {
    if (size == 1) return;
    const int last = move.axes - 1;
    if (last >= 0 && move.from[last] == size * from && move.to[last] == size * to) {
      move.size[last] *= size, move.from[last] = from, move.to[last] = to;
      return;
    }
    move.size[move.axes] = size, move.from[move.axes] = from, move.to[move.axes++] = to;
  };
  add(batch, input.image, output.image);
  for (int axis = 0; axis < image.axes; ++axis)
    add(image.size[axis], image.from[axis], image.to[axis]);
  // The kernel takes the last two axes as a plane.
  for (; move.axes < 2; ++move.axes) {
    for (int axis = move.axes; axis > 0; --axis)
      move.size[axis] = move.size[axis - 1], move.from[axis] = move.from[axis - 1],
      move.to[axis] = move.to[axis - 1];
    move.size[0] = 1, move.from[0] = 0, move.to[0] = 0;
  }
  return move;
}

struct AxisTables {
  std::vector<int32_t> place;
  std::vector<float> weight;
  int64_t taps;

  int64_t size() const { return static_cast<int64_t>(place.size()) / taps; }
  void check(const char* name, int64_t inputs) const {
    require_range("taps", taps, 1, most_reach);
    if (place.empty() || place.size() % taps)
      fail("`", name, "` must have as many entries for each of its ", taps, " taps");
    require_range(name, size(), 1, most_size);
    if (weight.empty() ? taps != 1 : weight.size() != place.size())
      fail("`", name, "_weight` must have one entry for each of `", name, "`");
    for (const int32_t at : place) require_range(name, at, 0, inputs - 1);
  }
  ResampleAxis view() const {
    return {static_cast<int>(size()), static_cast<int>(taps), place.data(),
            weight.empty() ? nullptr : weight.data()};
  }
};

class ResampleStep final : public Step {
 public:
  ResampleStep(const Resampling& kernels, const Slot& input, const Slot& output, int64_t height,
               int64_t width, AxisTables rows, AxisTables columns)
      : kernels_(kernels),
        input_(input),
        output_(output),
        rows_(std::move(rows)),
        columns_(std::move(columns)) {
    require_apart(output, input);
    require_range("height", height, 1, most_size);
    require_range("width", width, 1, most_size);
    rows_.check("row", height);
    columns_.check("column", width);
    if (input.floats % (height * width)) fail("`input` must hold whole maps");
    maps_ = input.floats / (height * width);
    const int64_t pixels = rows_.size() * columns_.size();
    if (output.floats % pixels || output.floats / pixels != maps_)
      fail("`output` must hold as many maps as `input`");
    job_ = {static_cast<int>(height), static_cast<int>(width), rows_.view(), columns_.view()};
  }
  void run(const Frame& f) const override {
    over_images(f, {&input_, &output_}, [&](int64_t image, int batch) {
      kernels_.resample(job_, f.read(input_) + image * input_.image,
                        f.write(output_) + image * output_.image, maps_ * batch, f.workspace,
                        f.threads);
    });
  }
  int64_t workspace(int /*batch*/, int threads) const override {
    return kernels_.workspace(job_, threads);
  }

 private:
  const Resampling& kernels_;
  Slot input_, output_;
  AxisTables rows_, columns_;
  Resample job_{};
  int64_t maps_ = 0;
};

}  // namespace

std::unique_ptr<Step> move_step(const Moving& kernels, const Slot& input, const Slot& output,
                                const std::vector<int64_t>& size, const std::vector<int64_t>& from,
                                const std::vector<int64_t>& to, int64_t first_from,
                                int64_t first_to) {
  require_writable(output);
  require_apart(output, input);
  const Move image = checked_move(input, output, size, from, to, first_from, first_to);
  return step_of([=, &kernels](const Frame& f) {
    kernels.move(whole_move(image, input, output, f.batch), f.read(input) + first_from,
                 f.write(output) + first_to, f.threads);
  });
}

std::unique_ptr<Step> fill_step(const Moving& kernels, const Slot& target, float value) {
  require_writable(target);
  return step_of([=, &kernels](const Frame& f) {
    over_images(f, {&target}, [&](int64_t image, int batch) {
      kernels.fill(f.write(target) + image * target.image, target.floats * batch, value);
    });
  });
}

std::unique_ptr<Step> resample_step(const Resampling& kernels, const Slot& input,
                                    const Slot& output, int64_t height, int64_t width,
                                    std::vector<int32_t> row, std::vector<float> row_weight,
                                    int64_t row_taps, std::vector<int32_t> column,
                                    std::vector<float> column_weight, int64_t column_taps) {
  require_writable(output);
  return std::make_unique<ResampleStep>(
      kernels, input, output, height, width,
      AxisTables{std::move(row), std::move(row_weight), row_taps},
      AxisTables{std::move(column), std::move(column_weight), column_taps});
}

}  // namespace openwork
