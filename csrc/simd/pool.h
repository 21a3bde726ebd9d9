// Pooling, part of the table's maps.
#pragma once
#include "../maps.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

void pool(const Pool& pool, const float* input, float* output, int batch, int threads);

}  // namespace openwork::OPENWORK_NAMESPACE
