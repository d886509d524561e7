"""Losses, the one gradient loop, crash-safe checkpoints, and the stages of the pipeline that are built from them."""
