"""The harness behind every performance figure in the README."""
