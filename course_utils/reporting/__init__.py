"""What a notebook says about a run: claims, predictions, tables, plots, source code."""
