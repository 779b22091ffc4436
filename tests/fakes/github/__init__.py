"""A stand-in for GitHub: its Apps (`apps`), and its repositories and pull requests (`forge`).

What it answers about Apps has the fields that GitHub's own description of its API requires:
description.json is a part of that (https://github.com/github/rest-api-description, Copyright
GitHub, MIT licence): the operations that cto calls. `description` holds every request and answer
against it.
"""
