// Register tiles: of the direct kernels, rows x vectors of outputs of one filter; of dense
// products, filters x vectors of pixels.
#pragma once
#include "../kernels.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

template <int R, int V>
struct Tile {
  static constexpr int rows = R, vectors = V;
};

template <class... T>
struct Tiles {};

#if defined(__AVX512F__)
using RowTiles = Tiles<Tile<4, 1>, Tile<7, 1>, Tile<8, 1>, Tile<14, 1>, Tile<4, 2>, Tile<7, 2>,
                       Tile<8, 2>, Tile<12, 2>, Tile<3, 4>, Tile<6, 4>>;
using TapTiles = Tiles<Tile<1, 1>, Tile<1, 4>, Tile<1, 8>, Tile<4, 1>, Tile<7, 1>, Tile<8, 1>,
                       Tile<14, 1>, Tile<4, 2>, Tile<7, 2>, Tile<4, 4>>;
#else
using RowTiles = Tiles<Tile<2, 1>, Tile<4, 1>, Tile<7, 1>, Tile<2, 2>, Tile<4, 2>, Tile<5, 2>,
                       Tile<2, 4>, Tile<3, 3>>;
using TapTiles =
    Tiles<Tile<1, 1>, Tile<1, 4>, Tile<1, 8>, Tile<4, 1>, Tile<7, 1>, Tile<4, 2>, Tile<2, 4>>;
#endif

#if defined(__AVX512F__) || defined(__aarch64__)
using DenseTiles = Tiles<Tile<6, 4>, Tile<8, 3>, Tile<12, 2>>;
#else
using DenseTiles = Tiles<Tile<4, 3>, Tile<6, 2>>;
#endif

template <class... T>
OPENWORK_INLINE TileSizes sizes_of(Tiles<T...>) {
  static const int sizes[][2] = {{T::rows, T::vectors}...};
  return {sizes, sizeof...(T)};
}

// Calls `body.template operator()<R, V>()` for the tile of that size; false if there is none.
template <class Body, class... T>
OPENWORK_INLINE bool with_rows(Tiles<T...>, int rows, int vectors, const Body& body) {
  return ((rows == T::rows && vectors == T::vectors &&
           (body.template operator()<T::rows, T::vectors>(), true)) ||
          ...);
}

}  // namespace openwork::OPENWORK_NAMESPACE
