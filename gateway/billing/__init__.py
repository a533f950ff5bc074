"""Close months, correct what was recorded, and say what a month comes to."""
