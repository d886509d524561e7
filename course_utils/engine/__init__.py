"""What carries a run, whatever is learned: the one gradient loop, crash-safe checkpoints, stages that go on."""
