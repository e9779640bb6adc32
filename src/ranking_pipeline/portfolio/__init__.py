"""Portfolio: books built from scores, and what holding them earns and costs."""
