"""A scenario's network kept up for whoever asks: one address for clients and a page, or Mininet's prompt."""
