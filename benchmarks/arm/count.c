/* A plugin of QEMU 7 or 8 that counts what an AArch64 program executes: all instructions, and those
 * that multiply and add four floats at a time (fmla, fmls).
 *
 *     qemu-aarch64 -plugin ./count.so program
 *
 * Writes "instructions multiply-adds" to the file that COUNT_TO names. QEMU's header is in none of
 * Debian's packages, so the few functions that are used are declared here.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))
typedef uint64_t plugin_id;
struct block;
struct instruction;
size_t qemu_plugin_tb_n_insns(const struct block* block);
struct instruction* qemu_plugin_tb_get_insn(const struct block* block, size_t index);
const void* qemu_plugin_insn_data(const struct instruction* instruction);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*call)(plugin_id, struct block*));
void qemu_plugin_register_vcpu_tb_exec_cb(struct block* block, void (*call)(unsigned, void*),
                                          int flags, void* given);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*call)(plugin_id, void*), void* given);

EXPORT int qemu_plugin_version = 1;

/* Of one translated block; never freed, because code that was translated may run until the end. */
struct counts {
  uint64_t all, multiply_adds;
};
static struct counts total;

static int multiplies_and_adds(const struct instruction* instruction) {
  const uint32_t word = *(const uint32_t*)qemu_plugin_insn_data(instruction);
  const int of_vectors = (word & 0xBF20FC00u) == 0x0E20CC00u;
  const int by_element = (word & 0xBF80B400u) == 0x0F801000u;
  return of_vectors || by_element;
}

static void executed(unsigned cpu, void* given) {
  (void)cpu;
  const struct counts* block = given;
  total.all += block->all;
  total.multiply_adds += block->multiply_adds;
}

static void translated(plugin_id id, struct block* block) {
  (void)id;
  struct counts* found = calloc(1, sizeof *found);
  if (!found) abort();
  found->all = qemu_plugin_tb_n_insns(block);
  for (size_t i = 0; i < found->all; ++i)
    found->multiply_adds += multiplies_and_adds(qemu_plugin_tb_get_insn(block, i));
  qemu_plugin_register_vcpu_tb_exec_cb(block, executed, 0, found);
}

static void done(plugin_id id, void* given) {
  (void)id;
  (void)given;
  const char* path = getenv("COUNT_TO");
  FILE* file = path ? fopen(path, "w") : NULL;
  if (!file) return;
  fprintf(file, "%" PRIu64 " %" PRIu64 "\n", total.all, total.multiply_adds);
  fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id id, const void* about, int count, char** arguments) {
  (void)about;
  (void)count;
  (void)arguments;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, done, NULL);
  return 0;
}
