"""What a prompt is worth, how a model is judged, and how each judge is fooled: exams, measures, rankings, models."""
