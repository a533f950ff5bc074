"""Keep several workers behind one listening socket; knows nothing of models, keys or the bill."""
