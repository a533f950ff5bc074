"""May they call now: rate limits, monthly quotas and in-flight caps."""
