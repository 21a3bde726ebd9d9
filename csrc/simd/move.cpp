// f32-move: copies between tensors whose axes lie at different distances.
//
// The last two axes are a plane, which one of four loops copies: rows of neighbours, rows of every
// second float, transposes vector by vector, and float by float.
#include "../move.h"

#include "over_vectors.h"
#include "shuffle.h"
#include "step_table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

struct Plane {
  int64_t rows, columns;
  int64_t from_row, from_column, to_row, to_column;
};

OPENWORK_INLINE void copy_row(const float* in, float* out, int64_t count) {
  over_vectors(count,
               [&](int64_t at, int n) { store_lanes(out + at, load_lanes(in + at, 0, n), n); });
}

// The last float that is read is in[2 * (count - 1)].
OPENWORK_INLINE void copy_every_second(const float* in, float* out, int64_t count) {
  int64_t at = 0;
  for (; at + lanes < count; at += lanes)
    store(out + at, every_second(load(in + 2 * at), load(in + 2 * at + lanes), Lanes{}, 0));
  for (; at < count; ++at) out[at] = in[2 * at];
}

// out[2 i] = a[i], out[2 i + 1] = b[i].
OPENWORK_INLINE void copy_zipped(const float* a, const float* b, float* out, int64_t count) {
  int64_t at = 0;
  for (; at + lanes <= count; at += lanes) {
    const vec first = load(a + at), second = load(b + at);
    store(out + 2 * at, zip_low(first, second, Lanes{}));
    store(out + 2 * at + lanes, zip_high(first, second, Lanes{}));
  }
  for (; at < count; ++at) out[2 * at] = a[at], out[2 * at + 1] = b[at];
}

// Rows of a square become its columns: log2(lanes) times, the first half is zipped with the second.
OPENWORK_INLINE void transpose(vec (&x)[lanes]) {
#pragma GCC unroll 4
  for (int done = 1; done < lanes; done *= 2) {
    vec y[lanes];
#pragma GCC unroll 16
    for (int i = 0; i < lanes / 2; ++i) {
      y[2 * i] = zip_low(x[i], x[i + lanes / 2], Lanes{});
      y[2 * i + 1] = zip_high(x[i], x[i + lanes / 2], Lanes{});
    }
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) x[i] = y[i];
  }
}

void copy_transposed(const Plane& p, const float* in, float* out) {
  const auto one_by_one = [&](int64_t row, int64_t rows, int64_t column, int64_t columns) {
    for (int64_t r = row; r < rows; ++r)
      for (int64_t c = column; c < columns; ++c) out[r * p.to_row + c] = in[r + c * p.from_column];
  };
  const int64_t rows = p.rows / lanes * lanes, columns = p.columns / lanes * lanes;
  for (int64_t row = 0; row < rows; row += lanes)
    for (int64_t column = 0; column < columns; column += lanes) {
      vec x[lanes];
      for (int i = 0; i < lanes; ++i) x[i] = load(in + row + (column + i) * p.from_column);
      transpose(x);
      for (int i = 0; i < lanes; ++i) store(out + (row + i) * p.to_row + column, x[i]);
    }
  one_by_one(0, rows, columns, p.columns);
  one_by_one(rows, p.rows, 0, p.columns);
}

void copy_plane(const Plane& p, const float* in, float* out) {
  if (p.to_column == 1 && p.columns == 2 && p.from_row == 1 && p.to_row == 2)
    return copy_zipped(in, in + p.from_column, out, p.rows);
  if (p.to_column == 1 && p.from_row == 1 && p.from_column != 1 && p.rows >= lanes / 2)
    return copy_transposed(p, in, out);
  for (int64_t row = 0; row < p.rows; ++row) {
    const float* from = in + row * p.from_row;
    float* to = out + row * p.to_row;
    if (p.to_column == 1 && p.from_column == 1)
      copy_row(from, to, p.columns);
    else if (p.to_column == 1 && p.from_column == 2)
      copy_every_second(from, to, p.columns);
    else
      for (int64_t c = 0; c < p.columns; ++c) to[c * p.to_column] = from[c * p.from_column];
  }
}

// All axes but the last two.
struct Outer {
  const Move& move;
  int axes;
  int64_t count = 1;

  explicit Outer(const Move& move) : move(move), axes(move.axes - 2) {
    for (int axis = 0; axis < axes; ++axis) count *= move.size[axis];
  }

  // Adds the offsets of the plane with this number.
  void find(int64_t number, int64_t& from, int64_t& to) const {
    for (int axis = axes - 1; axis >= 0; --axis) {
      const int64_t at = number % move.size[axis];
      number /= move.size[axis];
      from += at * move.from[axis];
      to += at * move.to[axis];
    }
  }
};

void move(const Move& move, const float* input, float* output, int threads) {
  const Outer outer(move);
  const int y = move.axes - 2, x = move.axes - 1;
  Plane plane{move.size[y], move.size[x], move.from[y], move.from[x], move.to[y], move.to[x]};
  // Whole vectors of rows, so that transposes stay whole.
  const int64_t per_piece = round_up(piece / plane.columns + 1, lanes);
  const int64_t pieces = (plane.rows + per_piece - 1) / per_piece;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t item = 0; item < outer.count * pieces; ++item) {
    const int64_t row = item % pieces * per_piece;
    int64_t from = row * plane.from_row, to = row * plane.to_row;
    outer.find(item / pieces, from, to);
    Plane part = plane;
    part.rows = plane.rows - row < per_piece ? plane.rows - row : per_piece;
    copy_plane(part, input + from, output + to);
  }
}

void fill(float* output, int64_t count, float value) {
  over_vectors(count, [&](int64_t at, int n) { store_lanes(output + at, broadcast(value), n); });
}

}  // namespace

const Moving moving{move, fill};

}  // namespace openwork::OPENWORK_NAMESPACE
