"""What is taught: losses as pure functions, and the stages of the pipeline that are built from them."""
