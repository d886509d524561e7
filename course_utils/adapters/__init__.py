"""Ways to tune a fraction of a model: five mechanisms by hand, and the same through peft."""
