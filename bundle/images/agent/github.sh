# The pull request of a run, by GitHub's API. The token is read from its file each time, since it is
# renewed there, and is never an argument.

# The branch that the work is for: the run's, else the repository's own, also where a run goes on with
# its agent's branch.
base_branch() {
    if [ -n "${BASE_BRANCH:-}" ] && [ "$BASE_BRANCH" != "$BRANCH" ]; then
        echo "$BASE_BRANCH"
    else
        git symbolic-ref --short refs/remotes/origin/HEAD | sed 's,^origin/,,'
    fi
}

# An agent that says that it failed, or that has opened one, is done; so is one without commits.
wants_pull_request() {
    jq --exit-status 'type == "object" and (.outcome // "succeeded") == "succeeded"
        and (.pullRequestUrl // "") == ""' "$RESULT_FILE" > /dev/null 2>&1 || return 1
    ahead=$(git rev-list --count "refs/remotes/origin/$(base_branch)..HEAD") || return 1
    [ "$ahead" != 0 ]
}

# api OPTION...: asks GitHub for the pull requests; the answer is in $work/answer, $status its status.
api() {
    status=$(printf 'header = "Authorization: Bearer %s"\n' "$(cat "$GITHUB_TOKEN_FILE")" |
        curl --config - --silent --show-error --location --max-time 60 --retry 2 \
            --header 'Accept: application/vnd.github+json' --output "$work/answer" \
            --write-out '%{http_code}' "$@" \
            "$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/pulls" 2> "$work/curl") ||
        fail "GITHUB_API_URL: $GITHUB_API_URL could not be asked: $(cat "$work/curl")"
}

# Finds the one that is open, whatever it is for, or opens one; $url is its address.
pull_request() {
    api --get --data-urlencode "head=${GITHUB_REPOSITORY%%/*}:$BRANCH" --data state=open
    url=$(jq --raw-output '.[0].html_url // empty' "$work/answer" 2> /dev/null || true)
    [ -z "$url" ] || return 0

    jq --null-input --arg title "$(git log -1 --format=%s)" --arg head "$BRANCH" \
        --arg base "$(base_branch)" --slurpfile result "$RESULT_FILE" \
        '{$title, $head, $base, body: ($result[0].summary // "" | tostring)}' > "$work/body"
    api --data-binary "@$work/body" --header 'Content-Type: application/json'
    url=$(jq --raw-output '.html_url // empty' "$work/answer" 2> /dev/null || true)
    why=$(jq --raw-output '[.message, .errors[]?.message] | map(strings) | join(": ")' \
        "$work/answer" 2> /dev/null || true)
    [ -n "$url" ] || fail "GitHub opened no pull request for '$BRANCH': $status $why"
}
