"""GitHub Apps of the agents. `client` speaks to GitHub, for the installer and the controller."""
