"""What is removed together? The units of one granularity, and the choice of those to cut.

`granularity.units_of` is the way in. `layers` says which layers are cut, `units` what a unit is;
`kernels`, `strided` and `feature_maps` make the units of each granularity. Feature maps need the
network's graph: `coupling` tells which layers produce and consume a map, and `cascade` which other
maps are lost with it. `forward_pass` finds the first layer and the heads.
"""

__all__: list[str] = []
