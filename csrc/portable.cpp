// What wheels must not take from the glibc of the machine that builds them; see CMakeLists.txt.
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" {

// glibc has it since 2.33 only; on 64-bit Linux the system fills the same struct.
__attribute__((visibility("hidden"))) int fstat(int descriptor, struct stat* about) noexcept {
  return static_cast<int>(syscall(SYS_fstat, descriptor, about));
}

// glibc has it since 2.32 only; 0 lets shared_ptr always count atomically.
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
}
