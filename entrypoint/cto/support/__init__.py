"""What helps when something is broken: facts about a cluster and its machine, and what follows."""
