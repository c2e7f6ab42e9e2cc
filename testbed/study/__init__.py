"""What is done beside a run: recordings of models, what-if, and plans. No network, no containers."""
