"""The base model and everything read out of it: loading, shared prefixes, log-probabilities, sampling."""
