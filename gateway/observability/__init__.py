"""Let an operator see what happens: one log line for each request, metrics and traces."""
