/* Runs a packed network some times on zeros, with one thread: again network.ow batch times */
#include <openwork.h>
#include <stdio.h>
#include <stdlib.h>

static float* zeros(int64_t batch, const ow_tensor* tensor) {
  return calloc((size_t)(batch * tensor->floats), sizeof(float));
}

int main(int argc, char** argv) {
  enum { MOST = 8 };
  const float* inputs[MOST];
  float* outputs[MOST];
  ow_network* network;
  ow_tensor tensor;
  if (argc != 4) return fprintf(stderr, "usage: again network.ow batch times\n"), 2;
  const int64_t batch = atoll(argv[2]);
  if (ow_load(argv[1], &network)) return fprintf(stderr, "%s\n", ow_error()), 1;
  if (ow_inputs(network) > MOST || ow_outputs(network) > MOST) return 1;
  for (int32_t i = 0; i < ow_inputs(network); ++i) {
    ow_input(network, i, &tensor);
    inputs[i] = zeros(batch, &tensor);
  }
  for (int32_t i = 0; i < ow_outputs(network); ++i) {
    ow_output(network, i, &tensor);
    outputs[i] = zeros(batch, &tensor);
  }
  for (int times = atoi(argv[3]); times > 0; --times)
    if (ow_run(network, inputs, outputs, batch, 1, NULL, 0))
      return fprintf(stderr, "%s\n", ow_error()), 1;
  return 0;
}
