"""What the tests and the demo run on: see README.md."""
