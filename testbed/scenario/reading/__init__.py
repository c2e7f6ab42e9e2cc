"""From text to values: YAML, units, maps, files of numbers, and what is wrong with them."""
