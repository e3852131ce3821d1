"""What the report of the demo shows of its networks: filters, gates, mistakes, influence of tokens."""
