"""From prepared slices to vectors: backbones, where their weights come from, and the store of embeddings."""
