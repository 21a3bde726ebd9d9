#include "openwork.h"

#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "../isa.h"
#include "../packed/read_program.h"

// Not in a namespace: the header declares it for C.
struct ow_network {
  openwork::PackedProgram packed;
};

namespace openwork {

namespace {

constexpr size_t line = 64;

std::string& last_error() {
  thread_local std::string text;
  return text;
}

ow_status failed(ow_status status, const char* text) noexcept {
  try {
    last_error() = text;
  } catch (...) {
    // Without memory for the text, the status says it.
  }
  return status;
}

// `body`'s failures as a status; `bad` is that of what breaks a rule.
template <class Body>
ow_status guarded(ow_status bad, const Body& body) noexcept {
  try {
    body();
    return OW_OK;
  } catch (const std::bad_alloc&) {
    return failed(OW_NO_MEMORY, "there is not enough memory");
  } catch (const std::exception& error) {
    return failed(bad, error.what());
  } catch (...) {
    return failed(bad, "unknown failure");
  }
}

template <class T>
void require_given(const char* name, const T* pointer) {
  if (!pointer) fail("`", name, "` must not be null");
}

template <class Read>
ow_status load(ow_network** network, const Read& read) noexcept {
  if (!network) return failed(OW_BAD_ARGUMENT, "`network` must not be null");
  *network = nullptr;
  return guarded(OW_BAD_FILE, [&] {
    auto loaded = std::make_unique<ow_network>(ow_network{read_program(read())});
    *network = loaded.release();
  });
}

ow_status describe(const ow_network* network, std::vector<TensorInfo> PackedProgram::* tensors,
                   int64_t (Program::*floats)(int) const, int32_t number,
                   ow_tensor* tensor) noexcept {
  return guarded(OW_BAD_ARGUMENT, [&] {
    require_given("network", network);
    require_given("tensor", tensor);
    const std::vector<TensorInfo>& all = network->packed.*tensors;
    require_range("number", number, 0, static_cast<int64_t>(all.size()) - 1);
    const TensorInfo& info = all[number];
    *tensor = {info.name.c_str(), info.shape.data(), static_cast<int32_t>(info.shape.size()),
               (network->packed.program.*floats)(number)};
  });
}

// Bytes of a run's memory, once its numbers are checked.
size_t memory_of(const ow_network* network, int64_t batch, int32_t threads) {
  require_given("network", network);
  check_call(batch, threads);
  const PackedProgram& packed = network->packed;
  require_range("batch", batch, packed.least_batch, packed.most_batch);
  const int64_t floats = packed.program.arena(static_cast<int>(batch), threads);
  if (floats > INT64_MAX / 8) fail("the run needs more memory than there can be");
  return static_cast<size_t>(floats) * sizeof(float);
}

void run(const ow_network* network, const float* const* inputs, float* const* outputs,
         int64_t batch, int32_t threads, void* memory, size_t bytes) {
  const size_t needed = memory_of(network, batch, threads);
  const Program& program = network->packed.program;
  if (program.inputs()) require_given("inputs", inputs);
  if (program.outputs()) require_given("outputs", outputs);
  for (int i = 0; i < program.inputs(); ++i) require_given("inputs[i]", inputs[i]);
  for (int i = 0; i < program.outputs(); ++i) require_given("outputs[i]", outputs[i]);
  const auto free_line = [](void* p) { ::operator delete(p, std::align_val_t{line}); };
  std::unique_ptr<void, decltype(free_line)> own(nullptr, free_line);
  if (!memory) {
    own.reset(::operator new(needed, std::align_val_t{line}));
    memory = own.get();
  } else if (bytes < needed) {
    fail("`bytes`=", static_cast<int64_t>(bytes), ", but the run needs ",
         static_cast<int64_t>(needed));
  } else if (reinterpret_cast<uintptr_t>(memory) % line) {
    fail("`memory` must begin at a multiple of ", static_cast<int64_t>(line));
  }
  program.run({inputs, inputs + program.inputs()}, {outputs, outputs + program.outputs()},
              static_cast<float*>(memory), static_cast<int>(batch), threads);
}

}  // namespace

}  // namespace openwork

using namespace openwork;

int32_t ow_api(void) { return OW_API; }

const char* ow_error(void) { return last_error().c_str(); }

const char* ow_isas(void) {
  try {
    static const std::string text = usable_isas_text(" ");
    return text.c_str();
  } catch (...) {
    return "";
  }
}

ow_status ow_load(const char* path, ow_network** network) {
  if (!path) return failed(OW_BAD_ARGUMENT, "`path` must not be null");
  return load(network, [&] { return map_file(path); });
}

ow_status ow_load_memory(const void* bytes, size_t size, ow_network** network) {
  if (!bytes) return failed(OW_BAD_ARGUMENT, "`bytes` must not be null");
  return load(network, [&] { return copy_of(bytes, size); });
}

void ow_free(ow_network* network) { delete network; }

int32_t ow_inputs(const ow_network* network) {
  return network ? network->packed.program.inputs() : 0;
}

int32_t ow_outputs(const ow_network* network) {
  return network ? network->packed.program.outputs() : 0;
}

ow_status ow_input(const ow_network* network, int32_t number, ow_tensor* tensor) {
  return describe(network, &PackedProgram::inputs, &Program::input_floats, number, tensor);
}

ow_status ow_output(const ow_network* network, int32_t number, ow_tensor* tensor) {
  return describe(network, &PackedProgram::outputs, &Program::output_floats, number, tensor);
}

ow_status ow_batches(const ow_network* network, int64_t* least, int64_t* most) {
  return guarded(OW_BAD_ARGUMENT, [&] {
    require_given("network", network);
    require_given("least", least);
    require_given("most", most);
    *least = network->packed.least_batch, *most = network->packed.most_batch;
  });
}

ow_status ow_memory(const ow_network* network, int64_t batch, int32_t threads, size_t* bytes) {
  return guarded(OW_BAD_ARGUMENT, [&] {
    require_given("bytes", bytes);
    *bytes = memory_of(network, batch, threads);
  });
}

ow_status ow_run(const ow_network* network, const float* const* inputs, float* const* outputs,
                 int64_t batch, int32_t threads, void* memory, size_t bytes) {
  return guarded(OW_BAD_ARGUMENT,
                 [&] { run(network, inputs, outputs, batch, threads, memory, bytes); });
}
