"""What the verbs do. Imported when they work: their options must not wait for it."""
