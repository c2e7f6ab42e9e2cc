"""What a Transformers checkpoint needs: a quick import, its labels, and text generation."""
