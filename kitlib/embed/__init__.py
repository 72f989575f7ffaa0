"""From prepared slices to vectors: backbones, the sources of their weights, and the store of embeddings."""
