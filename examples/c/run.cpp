// Runs packed networks on files of float32 numbers: for each line "network batch threads inputs
// outputs" of the standard input, all inputs of the network are read from one file, one after
// another, and all outputs written to the other.
//
//     echo "network.ow 8 1 in.f32 out.f32" | run
#include <openwork.h>

#include <fstream>
#include <iostream>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Network = std::unique_ptr<ow_network, decltype(&ow_free)>;

void require(ow_status status) {
  if (status != OW_OK) throw std::runtime_error(ow_error());
}

Network load(const std::string& path) {
  ow_network* network = nullptr;
  require(ow_load(path.c_str(), &network));
  return {network, ow_free};
}

// Memory for a run, kept from call to call.
class Memory {
 public:
  void* of(size_t bytes) {
    if (bytes > bytes_) data_.reset(::operator new(bytes_ = bytes, std::align_val_t{64}));
    return data_.get();
  }
  size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* p) const { ::operator delete(p, std::align_val_t{64}); }
  };
  std::unique_ptr<void, Free> data_;
  size_t bytes_ = 0;
};

using Describe = ow_status (*)(const ow_network*, int32_t, ow_tensor*);

std::vector<std::vector<float>> arrays(const ow_network* network, int32_t count, Describe describe,
                                       int64_t batch) {
  std::vector<std::vector<float>> made;
  for (int32_t i = 0; i < count; ++i) {
    ow_tensor tensor;
    require(describe(network, i, &tensor));
    made.emplace_back(batch * tensor.floats);
  }
  return made;
}

void run(const std::string& line, Memory& memory) {
  std::istringstream words(line);
  std::string path, from, to;
  int64_t batch = 0;
  int32_t threads = 0;
  if (!(words >> path >> batch >> threads >> from >> to))
    throw std::runtime_error("a line must hold: network batch threads inputs outputs");
  const Network network = load(path);
  size_t bytes = 0;
  require(ow_memory(network.get(), batch, threads, &bytes));
  auto inputs = arrays(network.get(), ow_inputs(network.get()), ow_input, batch);
  auto outputs = arrays(network.get(), ow_outputs(network.get()), ow_output, batch);
  std::vector<const float*> read;
  std::vector<float*> written;
  std::ifstream in(from, std::ios::binary);
  for (auto& array : inputs) {
    in.read(reinterpret_cast<char*>(array.data()),
            static_cast<std::streamsize>(array.size() * sizeof(float)));
    if (!in) throw std::runtime_error(from + " is too short");
    read.push_back(array.data());
  }
  for (auto& array : outputs) written.push_back(array.data());
  void* block = memory.of(bytes);
  require(
      ow_run(network.get(), read.data(), written.data(), batch, threads, block, memory.bytes()));
  std::ofstream out(to, std::ios::binary);
  for (const auto& array : outputs)
    out.write(reinterpret_cast<const char*>(array.data()),
              static_cast<std::streamsize>(array.size() * sizeof(float)));
  if (!out.flush()) throw std::runtime_error(to + " could not be written");
}

}  // namespace

int main() {
  Memory memory;
  for (std::string line; std::getline(std::cin, line);) {
    try {
      run(line, memory);
    } catch (const std::exception& error) {
      std::cerr << line << ": " << error.what() << '\n';
      return 1;
    }
  }
}
