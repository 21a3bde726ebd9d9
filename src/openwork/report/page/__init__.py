"""A page about runs, from the record of each folder to its sections.

`record` reads a folder, `asked`, `trained`, `pruned` and `measured` make sections of it.
`markup` escapes whatever did not come from here, `chart` draws lines and dots as SVG, `bars` draws
tables, and `style` holds the colours, light and dark.
"""

__all__: list[str] = []
