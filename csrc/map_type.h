// The types of the maps that training's norms and pools take.
#pragma once

namespace openwork {

enum class MapType { float32, bfloat16 };

}  // namespace openwork
