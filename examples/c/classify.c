/* Says the class of each image: the largest number of the network's first output.
 *
 *     classify network.ow images.f32 [threads]
 *
 * images.f32: float32 numbers, one image after another, each of the network's input shape.
 */
#include <openwork.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, ow_error());
  return 1;
}

static int classify(const ow_network* network, FILE* file, int32_t threads) {
  ow_tensor input, output;
  int status = 1;
  if (ow_inputs(network) != 1) return fprintf(stderr, "the network takes several inputs\n"), 1;
  if (ow_input(network, 0, &input) || ow_output(network, 0, &output)) return fail("describe");
  /* One array for each output; only the first is read. */
  const int32_t outputs = ow_outputs(network);
  float* image = malloc((size_t)input.floats * sizeof(float));
  float** results = calloc((size_t)outputs, sizeof(float*));
  if (!image || !results) goto done;
  for (int32_t i = 0; i < outputs; ++i) {
    ow_tensor each;
    if (ow_output(network, i, &each)) goto done;
    results[i] = malloc((size_t)each.floats * sizeof(float));
    if (!results[i]) goto done;
  }
  const float* inputs[1] = {image};
  while (fread(image, sizeof(float), (size_t)input.floats, file) == (size_t)input.floats) {
    if (ow_run(network, inputs, results, 1, threads, NULL, 0)) {
      fail("run");
      goto done;
    }
    int64_t best = 0;
    for (int64_t i = 1; i < output.floats; ++i)
      if (results[0][i] > results[0][best]) best = i;
    printf("%lld %.6g\n", (long long)best, results[0][best]);
  }
  status = 0;
done:
  for (int32_t i = 0; results && i < outputs; ++i) free(results[i]);
  free(results);
  free(image);
  return status;
}

int main(int argc, char** argv) {
  if (argc < 3) return fprintf(stderr, "usage: classify network.ow images.f32 [threads]\n"), 2;
  ow_network* network;
  if (ow_load(argv[1], &network)) return fail(argv[1]);
  FILE* file = fopen(argv[2], "rb");
  if (!file) {
    perror(argv[2]);
    ow_free(network);
    return 1;
  }
  const int status = classify(network, file, argc > 3 ? atoi(argv[3]) : 1);
  fclose(file);
  ow_free(network);
  return status;
}
