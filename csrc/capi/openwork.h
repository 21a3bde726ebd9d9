/* openwork: run compiled convolutional networks from C and C++, without Python.
 *
 * A network comes from a packed file, which Python writes:
 *
 *     openwork.runtime.pack("fast.safetensors", "fast.ow", isa="neon")
 *
 * No function throws, prints or ends the process. Functions that can fail give a status; the text
 * of the last failure in the calling thread is `ow_error()`. A network does not change: several
 * threads may describe and run one at once, each run with memory that no other uses meanwhile.
 *
 * Functions are added, but none is changed or removed while OW_API stays the same.
 */
#ifndef OPENWORK_H
#define OPENWORK_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define OW_EXPORT __attribute__((visibility("default")))
#else
#define OW_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define OW_API 1

typedef enum ow_status {
  OW_OK = 0,
  OW_BAD_ARGUMENT = 1, /* a null pointer, a number out of range, too little memory given */
  OW_BAD_FILE = 2,     /* not there, damaged, of another version or for another processor */
  OW_NO_MEMORY = 3     /* an allocation failed */
} ow_status;

typedef struct ow_network ow_network;

/* One input or output. Its arrays are float32, (batch, shape[0], ..., shape[axes - 1]), contiguous.
 * What it points to lives as long as the network. */
typedef struct ow_tensor {
  const char* name;
  const int64_t* shape; /* of one image */
  int32_t axes;
  int64_t floats; /* of one image: the product of `shape` */
} ow_tensor;

/* OW_API of the library that is linked. */
OW_EXPORT int32_t ow_api(void);

/* The text of the last failure in this thread; "" before the first. Lives until the next failure.
 */
OW_EXPORT const char* ow_error(void);

/* Instruction sets that can run here, separated by blanks, the best last. */
OW_EXPORT const char* ow_isas(void);

/* Maps the packed file at `path` and checks all of it; `*network` is null after a failure. The file
 * may be replaced under its name, but must not be written to while the network lives. Weights are
 * not copied: processes that load one file share them. */
OW_EXPORT ow_status ow_load(const char* path, ow_network** network);

/* The same, from `size` bytes of a packed file in memory, which are copied. */
OW_EXPORT ow_status ow_load_memory(const void* bytes, size_t size, ow_network** network);

/* `network` may be null. No run may be in progress. */
OW_EXPORT void ow_free(ow_network* network);

/* How many arrays a run takes and gives; 0 for null. */
OW_EXPORT int32_t ow_inputs(const ow_network* network);
OW_EXPORT int32_t ow_outputs(const ow_network* network);

/* Describes input or output `number`, counted from 0. */
OW_EXPORT ow_status ow_input(const ow_network* network, int32_t number, ow_tensor* tensor);
OW_EXPORT ow_status ow_output(const ow_network* network, int32_t number, ow_tensor* tensor);

/* The batch sizes that a run takes, both bounds included. */
OW_EXPORT ow_status ow_batches(const ow_network* network, int64_t* least, int64_t* most);

/* Bytes that a run needs for what lies between inputs and outputs. */
OW_EXPORT ow_status ow_memory(const ow_network* network, int64_t batch, int32_t threads,
                              size_t* bytes);

/* Computes all outputs. Results do not depend on the number of threads.
 *
 * inputs, outputs: an array of batch * floats numbers for each; outputs are overwritten. None may
 *     overlap another that is written to.
 * threads: of the OpenMP pool, at least 1.
 * memory: `bytes` of the caller's, at least what `ow_memory` says, from a multiple of 64 on;
 * nothing is allocated then but some pointers. Null: allocated for this run and freed again. */
OW_EXPORT ow_status ow_run(const ow_network* network, const float* const* inputs,
                           float* const* outputs, int64_t batch, int32_t threads, void* memory,
                           size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
