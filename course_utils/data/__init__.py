"""Data as plain datasets: human-rated reviews with splits that cannot leak, their hub twins, and prompts."""
