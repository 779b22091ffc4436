"""A stand-in for GitHub: its Apps (`apps`), and its repositories and pull requests (`forge`).

What it answers about Apps has the fields that GitHub's own description of its API requires:
description.json is a small part of that (https://github.com/github/rest-api-description, Copyright
GitHub, MIT licence), names and kinds of fields alone.
"""
