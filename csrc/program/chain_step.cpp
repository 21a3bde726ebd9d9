// Layers one after another, some rows at a time: what lies between them stays in the L2 cache.
#include <algorithm>
#include <utility>

#include "../isa.h"
#include "body_step.h"
#include "steps.h"

namespace openwork {

namespace {

// Floats between the layers of one thread. 384 KB, with weights and pixels, fit the L2 cache of 1
// MB that Cascade Lake has. Processors of AMD read their L3 cache fast enough for more, and gain by
// fewer bands: MobileNetV2 takes 0.94 of its time at density 0.25 on one Zen 4 core, and 0.95 on
// one Zen 3 core, whose L2 cache is half as large.
int64_t most_between() { return (is_amd() ? 256 : 96) * 1024; }

int64_t round_up(int64_t floats) { return (floats + 15) / 16 * 16; }

// Rows [first, stop) of one layer's output.
struct Rows {
  int first, stop;
};

int reach_of(const Geometry& g) { return (g.kernel_y - 1) * g.dilation_y + 1; }

// The input rows that `rows` of a layer's output read; `above`: rows of padding before them.
Rows read_by(const Geometry& g, const Rows& rows, int* above = nullptr) {
  const int first = rows.first * g.stride_y - g.pad_y;
  const int stop = (rows.stop - 1) * g.stride_y - g.pad_y + reach_of(g);
  const Rows read{std::max(first, 0), std::min(stop, g.height)};
  if (above) *above = read.first - first;
  return read;
}

class Chain {
 public:
  explicit Chain(std::vector<std::shared_ptr<const Layer>> layers) : layers_(std::move(layers)) {
    if (layers_.size() < 2) fail("`layers` must hold at least two layers");
    const int count = static_cast<int>(layers_.size());
    for (int i = 0; i < count; ++i) check(i);
    const int height = geometry(count - 1).out_height;
    int rows = height;
    const int64_t most = most_between();
    while (rows > 1 && between(rows) > most) rows = (rows + 1) / 2;
    while (rows < height && between(rows + 1) <= most) ++rows;
    bands_ = (height + rows - 1) / rows;
    rows_ = (height + bands_ - 1) / bands_;
    bands_ = (height + rows_ - 1) / rows_;
    if (window_) {
      const Geometry& g = geometry(window_);
      const int each = rows_below(window_, rows_) * g.stride_y;
      before_ = (std::max(reach_of(g) - g.stride_y, 0) + each - 1) / each;
    }
  }

  int bands() const { return bands_; }
  const Geometry& geometry(int layer) const { return layers_[layer]->geometry(); }

  int64_t workspace() const {
    int64_t own = 0;
    for (const auto& layer : layers_) own = std::max(own, layer->workspace(1, 1));
    return round_up(own) + between(rows_);
  }

  // Bands [begin, end) of one image, on one thread.
  void run(const Run& whole, int begin, int end, float* memory) const {
    const int last = static_cast<int>(layers_.size()) - 1;
    std::vector<Buffer> buffers(last);
    for (int i = 0; i < last; ++i) {
      const int64_t width = geometry(i).out_width;
      buffers[i] = {memory, held(i, rows_) * width, 0, 0};
      memory += floats_of(i, rows_);
    }
    // What bands before `begin` leave behind is computed as they do, so that sums are rounded alike
    // wherever a thread begins.
    const int start = std::max(begin - before_, 0);
    if (start > 0)
      for (int i = 0; i < last; ++i) buffers[i].first = buffers[i].stop = needed(i, start - 1).stop;
    for (int band = start; band < end; ++band)
      for (int i = 0; i < (band < begin ? window_ : last + 1); ++i)
        run_layer(whole, buffers, i, band, memory);
  }

 private:
  // Rows [first, stop) of the maps between two layers.
  struct Buffer {
    float* from = nullptr;
    int64_t map = 0;  // floats from channel to channel
    int first = 0, stop = 0;
  };

  void check(int i) {
    const Geometry& g = geometry(i);
    if (!layers_[i]->runs_in_bands()) fail("layer ", i, " of a chain cannot run in bands");
    if (g.pad_y >= reach_of(g)) fail("layer ", i, " of a chain has outputs that read no input");
    if (i == 0) return;
    const Geometry& before = geometry(i - 1);
    if (before.out_channels != g.in_channels || before.out_height != g.height ||
        before.out_width != g.width)
      fail("layer ", i, " of a chain does not read what the layer before it writes");
    if (reach_of(g) == 1 && g.stride_y == 1 && g.pad_y == 0) return;
    if (window_) fail("a chain has one layer with windows, besides its first");
    window_ = i;
  }

  // Rows of the output of layer `i` for `rows` of the last layer's, without what bands share.
  int rows_below(int i, int rows) const {
    for (int layer = static_cast<int>(layers_.size()) - 1; layer > i; --layer)
      rows *= geometry(layer).stride_y;
    return rows;
  }
  int held(int i, int rows) const {
    for (int layer = static_cast<int>(layers_.size()) - 1; layer > i; --layer)
      rows = (rows - 1) * geometry(layer).stride_y + reach_of(geometry(layer));
    return std::min(rows, geometry(i).out_height);
  }
  int64_t floats_of(int i, int rows) const {
    const Geometry& g = geometry(i);
    return round_up(static_cast<int64_t>(g.out_channels) * held(i, rows) * g.out_width);
  }
  int64_t between(int rows) const {
    int64_t floats = 0;
    for (size_t i = 0; i + 1 < layers_.size(); ++i) floats += floats_of(static_cast<int>(i), rows);
    return floats;
  }

  // Rows of the output of layer `i` that a band reads.
  Rows needed(int i, int band) const {
    const int last = static_cast<int>(layers_.size()) - 1;
    Rows rows{band * rows_, std::min((band + 1) * rows_, geometry(last).out_height)};
    for (int layer = last; layer > i; --layer) rows = read_by(geometry(layer), rows);
    return rows;
  }

  void run_layer(const Run& whole, std::vector<Buffer>& buffers, int i, int band,
                 float* workspace) const {
    const Geometry& g = geometry(i);
    const bool last = i + 1 == static_cast<int>(layers_.size());
    const Rows wanted = needed(i, band);
    Rows rows = wanted;
    if (!last) {
      keep(buffers[i], g, wanted.first);
      rows.first = buffers[i].stop;
    }
    if (rows.first >= rows.stop) return;
    int above = 0;
    const Rows read = read_by(g, rows, &above);
    Run run{.input = whole.input + static_cast<int64_t>(read.first) * g.width,
            .residual = nullptr,
            .output = nullptr,
            .in_image = whole.in_image,
            .out_image = whole.out_image,
            .workspace = workspace,
            .batch = 1,
            .threads = 1,
            .in_map = static_cast<int64_t>(g.height) * g.width,
            .out_map = static_cast<int64_t>(g.out_height) * g.out_width};
    if (i > 0) {
      const Buffer& from = buffers[i - 1];
      run.input = from.from + static_cast<int64_t>(read.first - from.first) * g.width;
      run.in_map = from.map;
    }
    if (last) {
      const int64_t at = static_cast<int64_t>(rows.first) * g.out_width;
      run.output = whole.output + at;
      run.residual = whole.residual ? whole.residual + at : nullptr;
    } else {
      Buffer& to = buffers[i];
      run.output = to.from + static_cast<int64_t>(rows.first - to.first) * g.out_width;
      run.out_map = to.map;
      to.stop = rows.stop;
    }
    layers_[i]->run_band(run, {read.stop - read.first, rows.stop - rows.first, above});
  }

  // Drops the rows before `first`.
  static void keep(Buffer& buffer, const Geometry& g, int first) {
    if (first <= buffer.first) return;
    const int64_t skipped = static_cast<int64_t>(first - buffer.first) * g.out_width;
    const int64_t left = static_cast<int64_t>(buffer.stop - first) * g.out_width;
    for (int channel = 0; left > 0 && channel < g.out_channels; ++channel) {
      float* map = buffer.from + channel * buffer.map;
      std::copy(map + skipped, map + skipped + left, map);
    }
    buffer.first = first;
    buffer.stop = std::max(buffer.stop, first);
  }

  std::vector<std::shared_ptr<const Layer>> layers_;
  int rows_ = 1, bands_ = 1;  // of the last layer's output in a band; bands
  int window_ = 0;            // the layer, not the first, that reads rows of several bands
  int before_ = 0;            // bands before one that leave rows for it
};

class ChainStep final : public Step {
 public:
  ChainStep(std::vector<std::shared_ptr<const Layer>> layers, const Slot& input, const Slot& output,
            const Slot* residual)
      : last_(static_cast<int>(layers.size()) - 1),
        chain_(std::move(layers)),
        input_(input),
        output_(output),
        residual_(residual, image_out(chain_.geometry(last_))) {
    require_floats("input", input.floats, image_in(chain_.geometry(0)));
    require_floats("output", output.floats, image_out(chain_.geometry(last_)));
    require_apart(output, input);
  }

  void run(const Frame& f) const override {
    const int64_t bands = chain_.bands(), items = bands * f.batch;
    const int threads = static_cast<int>(std::min<int64_t>(f.threads, items));
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int thread = 0; thread < threads; ++thread) {
      float* memory = f.workspace + thread * chain_.workspace();
      const int64_t stop = items * (thread + 1) / threads;
      for (int64_t item = items * thread / threads; item < stop;) {
        const int64_t image = item / bands, end = std::min(stop, (image + 1) * bands);
        Run whole{};
        whole.input = f.read(input_) + image * input_.image;
        whole.residual = residual_.read(f, image);
        whole.output = f.write(output_) + image * output_.image;
        chain_.run(whole, static_cast<int>(item - image * bands),
                   static_cast<int>(end - image * bands), memory);
        item = end;
      }
    }
  }

  int64_t workspace(int, int threads) const override { return chain_.workspace() * threads; }

 private:
  int last_;
  Chain chain_;
  Slot input_, output_;
  Residual residual_;
};

}  // namespace

std::unique_ptr<Step> chain_step(std::vector<std::shared_ptr<const Layer>> layers,
                                 const Slot& input, const Slot& output, const Slot* residual) {
  for (const auto& layer : layers)
    if (!layer) fail("`layers` must hold packed layers");
  require_writable(output);
  return std::make_unique<ChainStep>(std::move(layers), input, output, residual);
}

}  // namespace openwork
