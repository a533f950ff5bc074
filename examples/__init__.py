"""The demo model repository and the script that trains it from real data."""
