// Functions of one number each or two, and softmax.
#pragma once
#include <cstdint>

namespace openwork {

// Every function: F(name, parameters). csrc/simd/functions.h says what each computes.
#define OPENWORK_FUNCTIONS(F) \
  F(abs, 0)                   \
  F(clamp, 2)                 \
  F(elu, 3)                   \
  F(erf, 0)                   \
  F(exp, 0)                   \
  F(gelu, 0)                  \
  F(gelu_tanh, 0)             \
  F(log_sigmoid, 0)           \
  F(mish, 0)                  \
  F(reciprocal, 0)            \
  F(softplus, 2)              \
  F(sqrt, 0)                  \
  F(square, 0)                \
  F(tanh, 0)

#define OPENWORK_NAME(name, parameters) name,
enum class Function : int { OPENWORK_FUNCTIONS(OPENWORK_NAME) };
#undef OPENWORK_NAME

constexpr int most_parameters = 3;

// A function with its parameters.
struct PointFunction {
  Function function;
  float numbers[most_parameters];
};

// Every operation on two numbers: O(name).
#define OPENWORK_OPERATIONS(O) O(difference) O(product) O(quotient) O(sum)

#define OPENWORK_NAME(name) name,
enum class Operation : int { OPENWORK_OPERATIONS(OPENWORK_NAME) };
#undef OPENWORK_NAME

struct Functions {
  // The input may be the output.
  void (*map)(const PointFunction&, const float* input, float* output, int64_t count, int threads);
  // The output may be either input.
  void (*combine)(Operation, const float* a, const float* b, float* output, int64_t count,
                  int threads);
  // Of [outer, repeats, inner] and [outer, inner]: each number of `b` counts for all repeats.
  // The output may be `a`.
  void (*spread)(Operation, const float* a, const float* b, float* output, int64_t outer,
                 int64_t repeats, int64_t inner, int threads);
  // Negative numbers times the slope of their channel.
  void (*prelu)(const float* slope, const float* input, float* output, int batch, int channels,
                int64_t pixels, int threads);
  // Along the middle one of three axes; `log`: its logarithm. The input may be the output.
  void (*softmax)(const float* input, float* output, int64_t outer, int64_t size, int64_t inner,
                  bool log, int threads);
};

}  // namespace openwork
