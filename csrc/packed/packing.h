// What a packed layer was made of, as data: it can be written to a file and made again.
#pragma once
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "../problem.h"

namespace openwork {

enum class Number : uint8_t { f32, i32, i64, u16, i8 };

template <class T>
constexpr Number number_of() {
  if constexpr (std::is_same_v<T, float>) return Number::f32;
  if constexpr (std::is_same_v<T, int32_t>) return Number::i32;
  if constexpr (std::is_same_v<T, int64_t>) return Number::i64;
  if constexpr (std::is_same_v<T, uint16_t>) return Number::u16;
  if constexpr (std::is_same_v<T, int8_t>) return Number::i8;
}

constexpr int bytes_of(Number type) {
  return type == Number::i8 ? 1 : type == Number::u16 ? 2 : type == Number::i64 ? 8 : 4;
}

// Borrowed numbers, aligned as their type needs.
struct Numbers {
  Number type;
  const void* data;
  int64_t count;

  template <class T>
  static Numbers of(const T* data, int64_t count) {
    return {number_of<T>(), data, count};
  }
};

// The sizes and arrays of one kernel, in the order that make_layer.cpp and make_byte_layer.cpp say.
// The first array of layers of float32 is the bias, empty for none.
struct Packing {
  std::string kernel;
  Geometry geometry;
  Activation activation;
  std::vector<int64_t> sizes;
  std::vector<Numbers> arrays;
};

}  // namespace openwork
