"""The suite: unit tests mirror the source, the other folders run the product."""
