// f32-conv3x3-winograd2 and -winograd4: F(MxM, 3x3) as one sparse product per transformed position.
//
// Vectors of tiles are taken in blocks. Per block: transform all input channels, multiply,
// transform all filters' results back.
#include <omp.h>

#include "product.h"
#include "table.h"
#include "winograd_images.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

OPENWORK_INLINE int64_t smaller64(int64_t a, int64_t b) { return a < b ? a : b; }

Slabs slabs(const WinogradPlan& plan, int vectors) {
  const int side = plan.output + 2;
  return Slabs(side * side, plan.lists.inputs, plan.lists.rows, vectors);
}

// One share of the filters at one position.
template <int V, int G>
void multiply(const Lists& lists, int position, const float* x, float* y, const Share& share) {
  const auto write = [&](int row, const vec(&sum)[V]) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) store(y + (static_cast<int64_t>(row) * V + v) * lanes, sum[v]);
  };
  for (int chunk = 0; chunk < lists.chunks; ++chunk)
    product_chunk<V, G>(lists, chunk, lists.weight + position * lists.live,
                        x + static_cast<int64_t>(chunk) * lists.chunk * V * lanes, V * lanes, y,
                        share, write);
}

// Threads that share the work of one block: each takes its part of every stage, and waits for the
// others before the next. One alone waits for nobody.
struct Crew {
  int member, members;

  int begin(int items) const {
    return static_cast<int>(static_cast<int64_t>(items) * member / members);
  }
  int end(int items) const {
    return static_cast<int>(static_cast<int64_t>(items) * (member + 1) / members);
  }
  void wait() const {
    if (members > 1) {
#pragma omp barrier
    }
  }
};

template <class Tiles>
void run_block(const WinogradPlan& plan, const Run& run, const Tiles& tiles, int64_t begin,
               int vectors, const Crew& crew, float* memory) {
  constexpr int positions = Tiles::N * Tiles::N;
  const Lists& lists = plan.lists;
  const int64_t map = static_cast<int64_t>(plan.geometry.height) * plan.geometry.width;
  const Slabs layout = slabs(plan, vectors);
  float* in_slabs = memory;
  float* out_slabs = memory + positions * layout.in_slab;
  const EpilogueWriter writer(plan.epilogue, run);
  typename Tiles::template Block<most_vectors(1)> block(tiles, begin, vectors);

  for (int channel = crew.begin(lists.inputs); channel < crew.end(lists.inputs); ++channel)
    block.transform_input(run.input + channel * map, run.batch > 1 ? channels_ahead * map : 0,
                          layout.in_slab,
                          in_slabs + static_cast<int64_t>(channel) * vectors * lanes);
  crew.wait();

  const int together = vectors == 1 ? positions_together(lists.group) : 1;
  const int walks = positions / together;
  const int parts =
      smaller(crew.members == 1 ? 1 : ceil_div(crew.members * 4, walks), Share::most(lists));
  for (int item = crew.begin(walks * parts); item < crew.end(walks * parts); ++item) {
    const int position = item / parts * together;
    const Share share(lists, item % parts, parts);
    const float* x = in_slabs + position * layout.in_slab;
    float* y = out_slabs + position * layout.out_slab;
    with_tile<most_vectors>(vectors, lists.group, [&]<int V, int G>() {
      if constexpr (V == 1)
        Positions<positions_together(G), G>{x, layout.in_slab, lists.live, y, layout.out_slab}
            .multiply(lists, lists.weight + position * lists.live, share);
      else
        multiply<V, G>(lists, position, x, y, share);
    });
  }
  crew.wait();

  for (int row = crew.begin(lists.rows); row < crew.end(lists.rows); ++row)
    block.write_output(out_slabs + static_cast<int64_t>(row) * vectors * lanes, layout.out_slab,
                       row, writer);
  crew.wait();
}

// Whether each thread takes whole blocks, in its own memory: then none waits for another.
OPENWORK_INLINE bool takes_blocks(int64_t blocks, int threads) {
  return threads == 1 || blocks >= 4 * threads;
}

template <class Tiles>
void run_tiles(const WinogradPlan& plan, const Run& run, const Tiles& tiles) {
  const Blocks blocks(tiles.vectors(), plan.vectors);
  const bool whole = takes_blocks(blocks.count, run.threads);
  const int64_t own = slabs(plan, plan.vectors).all;
  int64_t next = 0;
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  {
    const int thread = omp_get_thread_num();
    const Crew crew = whole ? Crew{0, 1} : Crew{thread, omp_get_num_threads()};
    float* memory = run.workspace + (whole ? thread * own : 0);
    for (int64_t block = 0;; ++block) {
      if (whole) {
#pragma omp atomic capture
        block = next++;
      }
      if (block >= blocks.count) break;
      const int64_t begin = blocks.begin(block);
      run_block(plan, run, tiles, begin, static_cast<int>(blocks.begin(block + 1) - begin), crew,
                memory);
    }
  }
}

template <class Body>
void with_plan_tiles(const WinogradPlan& plan, const Images& images, const Body& body) {
  if (plan.output == 2)
    with_tiles<2>(plan.geometry, images, body);
  else
    with_tiles<4>(plan.geometry, images, body);
}

void run(const WinogradPlan& plan, const Run& run) {
  with_plan_tiles(plan, Images{run.in_image, run.out_image, run.batch},
                  [&](const auto& tiles) { run_tiles(plan, run, tiles); });
}

// Grows with both numbers, so that smaller calls fit.
int64_t workspace(const WinogradPlan& plan, int batch, int threads) {
  int64_t blocks = 0;
  with_plan_tiles(plan, Images{0, 0, batch},
                  [&](const auto& tiles) { blocks = Blocks(tiles.vectors(), plan.vectors).count; });
  const int64_t copies = smaller64(threads, blocks);
  return slabs(plan, plan.vectors).all * (copies < 1 ? 1 : copies);
}

const char* refusal(const WinogradPlan& plan) {
  if (plan.vectors > most_vectors(plan.lists.group)) return "tile does not fit the registers";
  return nullptr;
}

}  // namespace

const Kernel<WinogradPlan> winograd{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
