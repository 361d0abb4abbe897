"""The dialects of compatible services: one table of what they send, and the readers of it."""
