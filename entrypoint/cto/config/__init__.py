"""What the user asked for: one frozen Config, each value with its origin."""
