#include "isa.h"

#include <cstdlib>
#include <stdexcept>

#include "step_kernels.h"

namespace openwork {

#if defined(__x86_64__)
namespace baseline {
const Kernels& kernels();
const StepKernels& step_kernels();
}  // namespace baseline
namespace avx2 {
const Kernels& kernels();
const StepKernels& step_kernels();
}  // namespace avx2
namespace avx512 {
const Kernels& kernels();
const StepKernels& step_kernels();
}  // namespace avx512
namespace avx512bf16 {
extern const Kernel<PairPlan> pairs;
}
#else
namespace neon {
const Kernels& kernels();
const StepKernels& step_kernels();
}  // namespace neon
#endif

namespace {

struct Choice {
  const char* name;
  bool usable;
  const Kernels& (*kernels)();
  const StepKernels& (*step_kernels)();
};

// CPUID alone is not enough: __builtin_cpu_supports also asks whether the system saves the
// registers.
const std::vector<Choice>& choices() {
#if defined(OPENWORK_BASELINE_ONLY)
  static const std::vector<Choice> all{
      {"baseline", true, baseline::kernels, baseline::step_kernels}};
#elif defined(__x86_64__)
  static const std::vector<Choice> all = [] {
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512bw");
    return std::vector<Choice>{{"baseline", true, baseline::kernels, baseline::step_kernels},
                               {"avx2", avx2, avx2::kernels, avx2::step_kernels},
                               {"avx512", avx512, avx512::kernels, avx512::step_kernels}};
  }();
#else
  static const std::vector<Choice> all{{"neon", true, neon::kernels, neon::step_kernels}};
#endif
  return all;
}

#if defined(__x86_64__) && !defined(OPENWORK_BASELINE_ONLY)
constexpr char bf16_isa[] = "avx512bf16";

bool has_bf16(const std::string& isa) {
  return isa == "avx512" && is_usable(isa) && __builtin_cpu_supports("avx512bf16");
}
#endif

// What simd/product.h and simd/tiles.h have for AArch64, for machines whose build lacks it. A file
// packed for other tiles is refused where it is loaded.
int neon_vectors(int group) { return group == 4 ? 5 : 8; }

constexpr int neon_rows[][2] = {{2, 1}, {4, 1}, {7, 1}, {2, 2}, {4, 2}, {5, 2}, {2, 4}, {3, 3}};
constexpr int neon_taps[][2] = {{1, 1}, {1, 4}, {1, 8}, {4, 1}, {7, 1}, {4, 2}, {2, 4}};
constexpr int neon_dense[][2] = {{6, 4}, {8, 3}, {12, 2}};

constexpr Shapes neon_shapes{4, neon_vectors, {neon_rows, 8}, {neon_taps, 7}, {neon_dense, 3}};

const Choice& choice_of(const std::string& isa) {
  for (const Choice& choice : choices())
    if (choice.usable && isa == choice.name) return choice;
  throw std::invalid_argument("`isa`='" + isa +
                              "' cannot run here; use one of: " + usable_isas_text());
}

}  // namespace

std::vector<std::string> usable_isas() {
  std::vector<std::string> names;
  for (const Choice& choice : choices())
    if (choice.usable) names.push_back(choice.name);
  return names;
}

std::string usable_isas_text(const char* between) {
  std::string text;
  for (const std::string& name : usable_isas()) text += (text.empty() ? "" : between) + name;
  return text;
}

std::string chosen_isa() {
  const char* wanted = std::getenv("OPENWORK_ISA");
  if (!wanted || !*wanted) return usable_isas().back();
  for (const Choice& choice : choices())
    if (choice.usable && wanted == std::string(choice.name)) return wanted;
  throw std::invalid_argument("`OPENWORK_ISA`='" + std::string(wanted) +
                              "' cannot run here; unset it or use one of: " + usable_isas_text());
}

bool is_usable(const std::string& isa) {
  for (const Choice& choice : choices())
    if (choice.usable && isa == choice.name) return true;
  return false;
}

Shapes shapes_of(const std::string& isa) {
  if (isa == "neon" && !is_usable(isa)) return neon_shapes;
  const Kernels& k = kernels_of(isa);
  return {k.lanes, k.most_vectors, k.row_tiles, k.tap_tiles, k.dense_tiles};
}

const Kernels& kernels_of(const std::string& isa) { return choice_of(isa).kernels(); }

std::string pair_isa_of(const std::string& isa) {
#if defined(__x86_64__) && !defined(OPENWORK_BASELINE_ONLY)
  if (has_bf16(isa)) return bf16_isa;
#endif
  return isa;
}

std::vector<std::string> pair_isas() {
  std::vector<std::string> names;
  for (const std::string& isa : usable_isas()) {
    names.push_back(isa);
    if (pair_isa_of(isa) != isa) names.push_back(pair_isa_of(isa));
  }
  return names;
}

const Kernel<PairPlan>* pairs_beyond([[maybe_unused]] const std::string& isa) {
#if defined(__x86_64__) && !defined(OPENWORK_BASELINE_ONLY)
  if (isa == bf16_isa && has_bf16("avx512")) return &avx512bf16::pairs;
#endif
  return nullptr;
}

bool halves_vectors([[maybe_unused]] const std::string& isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return isa.starts_with("avx512") && __builtin_cpu_is("amdfam19h");
#else
  return false;
#endif
}

bool is_amd() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("amd");
#else
  return false;
#endif
}

const StepKernels& step_kernels_of(const std::string& isa) { return choice_of(isa).step_kernels(); }

}  // namespace openwork
