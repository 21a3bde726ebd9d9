#include "bytes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "../checks.h"

namespace openwork {

namespace {

constexpr std::align_val_t line{64};

// Closes a file at the end of its scope; a mapping outlives that.
struct Open {
  int descriptor;
  ~Open() {
    if (descriptor >= 0) close(descriptor);
  }
};

}  // namespace

Bytes map_file(const char* path) {
  // Without waiting for the other end of a pipe.
  const Open file{open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.descriptor < 0) fail("it cannot be opened (", std::strerror(errno), ")");
  struct stat about{};
  if (fstat(file.descriptor, &about) != 0) fail("it cannot be read (", std::strerror(errno), ")");
  if (!S_ISREG(about.st_mode)) fail("it is not a file");
  if (about.st_size == 0) fail("it is empty");
  const size_t size = static_cast<size_t>(about.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.descriptor, 0);
  if (data == MAP_FAILED) fail("it cannot be mapped (", std::strerror(errno), ")");
  return {static_cast<const uint8_t*>(data), size,
          std::shared_ptr<const void>(data, [size](void* mapped) { munmap(mapped, size); })};
}

Bytes copy_of(const void* data, size_t size) {
  auto* copy = static_cast<uint8_t*>(::operator new(size + !size, line));
  const std::shared_ptr<const void> keep(copy, [](void* p) { ::operator delete(p, line); });
  if (size) std::memcpy(copy, data, size);
  return {copy, size, keep};
}

}  // namespace openwork
