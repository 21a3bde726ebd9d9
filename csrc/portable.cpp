// What wheels must not take from the glibc of the machine that builds them: this file's functions
// come before glibc's when the module is linked. See CMakeLists.txt.
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#define HIDDEN __attribute__((visibility("hidden")))

extern "C" {

// glibc has it since 2.33 only; on 64-bit Linux the system fills the same struct.
HIDDEN int fstat(int descriptor, struct stat* about) noexcept {
  return static_cast<int>(syscall(SYS_fstat, descriptor, about));
}

// glibc has it since 2.32 only; 0 lets shared_ptr always count atomically.
HIDDEN char __libc_single_threaded = 0;

// Where libc itself has threads, from 2.34 on, these two are asked of it in that version. libstdc++
// only asks whether the first one is there.
HIDDEN int __pthread_key_create(pthread_key_t*, void (*)(void*)) noexcept { std::abort(); }

HIDDEN int pthread_once(pthread_once_t* once, void (*function)()) {
  int before = 0;
  if (__atomic_compare_exchange_n(once, &before, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
    function();
    __atomic_store_n(once, 2, __ATOMIC_RELEASE);
  }
  while (__atomic_load_n(once, __ATOMIC_ACQUIRE) != 2) sched_yield();
  return 0;
}
}
