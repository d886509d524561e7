"""Raw text on its way to a model: sources with their licences, quality, copies, private data, tokens."""
