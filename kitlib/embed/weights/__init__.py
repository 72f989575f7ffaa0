"""Network weights: where they are looked for, and how other files are converted to safetensors."""
