// Loads what libFuzzer makes of packed files, and runs what loads if that is little work. The
// checksum is put right first: with a wrong one nothing behind it would be reached.
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "../packed/checksum.h"
#include "openwork.h"

namespace {

constexpr int64_t most_floats = 1 << 16;
constexpr size_t most_memory = 1 << 24;
constexpr size_t checked_from = 40;

using Describe = ow_status (*)(const ow_network*, int32_t, ow_tensor*);

// False if the arrays would be large.
bool arrays(const ow_network* network, int32_t count, Describe describe, int64_t batch,
            std::vector<std::vector<float>>& made) {
  for (int32_t i = 0; i < count; ++i) {
    ow_tensor tensor;
    if (describe(network, i, &tensor) != OW_OK) __builtin_trap();
    if (tensor.floats > most_floats / batch) return false;
    made.emplace_back(batch * tensor.floats, 0.5f);
  }
  return true;
}

void run(const ow_network* network, int64_t batch, int32_t threads) {
  size_t bytes = 0;
  if (ow_memory(network, batch, threads, &bytes) != OW_OK || bytes > most_memory) return;
  std::vector<std::vector<float>> inputs, outputs;
  if (!arrays(network, ow_inputs(network), ow_input, batch, inputs) ||
      !arrays(network, ow_outputs(network), ow_output, batch, outputs))
    return;
  std::vector<const float*> read;
  std::vector<float*> written;
  for (auto& array : inputs) read.push_back(array.data());
  for (auto& array : outputs) written.push_back(array.data());
  if (ow_run(network, read.data(), written.data(), batch, threads, nullptr, 0) != OW_OK)
    __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  if (size >= checked_from) {
    const uint64_t whole = size,
                   sum = openwork::checksum(bytes.data() + checked_from, size - checked_from);
    std::memcpy(bytes.data() + 24, &whole, sizeof whole);
    std::memcpy(bytes.data() + 32, &sum, sizeof sum);
  }
  ow_network* network = nullptr;
  if (ow_load_memory(bytes.data(), size, &network) != OW_OK) {
    if (network || !*ow_error()) __builtin_trap();
    return 0;
  }
  run(network, 1, 1);
  run(network, 3, 1);
  ow_free(network);
  return 0;
}
