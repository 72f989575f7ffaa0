"""Network weights: where they are looked for, and how foreign files become safetensors."""
