"""How a model is judged, and how each judge is fooled: exams, old measures, bought tests, rankings, models."""
