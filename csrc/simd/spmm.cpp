// f32-conv1x1-spmm, f32-conv-spmm: sparse matrix times pixels. The matrix has one column for each
// live (channel, tap); a tile's rows are gathered before they are multiplied.
#include "spmm_tiles.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

struct Floats {
  using Plan = SpmmPlan;
  static constexpr auto most_vectors = OPENWORK_NAMESPACE::most_vectors;

  static int64_t floats(const SpmmPlan& plan) {
    return plan.lists.chunk * (static_cast<int64_t>(plan.vectors) * lanes);
  }

  // `whole`: the tile lies in one image and fills its vectors.
  template <int V>
  struct Columns {
    const SpmmPlan& plan;
    float* packed;
    const bool in_place;
    const float* x;
    const int64_t stride;

    Columns(const SpmmPlan& plan, float* packed, int64_t in_map, bool whole)
        : plan(plan),
          packed(packed),
          in_place(plan.in_place && whole),
          x(packed),
          stride(in_place ? in_map : V * lanes) {}

    // Columns [from, to) of the matrix; `first`: the first of them where the input has it.
    OPENWORK_INLINE_MEMBER void read(const Gather& gather, const float* input, const float* first,
                                     int from, int to) {
      if (in_place)
        x = first;
      else
        gather.read<V>(input, plan.channel + from, plan.tap + from, to - from,
                       FloatColumns<V>{packed});
    }
  };
};

}  // namespace

const Kernel<SpmmPlan> spmm{spmm_run<Floats>, spmm_workspace<Floats>, spmm_refusal<Floats>};

}  // namespace openwork::OPENWORK_NAMESPACE
