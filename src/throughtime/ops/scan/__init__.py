"""Linear recurrences, parallel over time: `layer` selects an implementation, `reference` is the reference."""
