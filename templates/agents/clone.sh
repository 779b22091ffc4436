# Makes the workspace ready, in the agent's own image: a repository at $REPOSITORY, on $BRANCH.
# What an earlier attempt left uncommitted stays only where CONTINUE_SESSION asks for it.
set -eu

# Some programs take one file for all they trust, others one more: both are this one.
if [ -n "${TRUST_FILE:-}" ]; then
    cat /etc/ssl/certs/ca-certificates.crt "$TRUST_FILE" > "$SSL_CERT_FILE" ||
        cat "$TRUST_FILE" > "$SSL_CERT_FILE"
fi

if [ ! -d "$REPOSITORY/.git" ] || [ -L "$REPOSITORY/.git" ] || [ -L "$REPOSITORY" ]; then
    # A clone that was interrupted has no .git of its own name yet.
    rm -rf "$REPOSITORY" "$REPOSITORY.new"
    git clone --no-checkout "$REPOSITORY_URL" "$REPOSITORY.new"
    mv "$REPOSITORY.new" "$REPOSITORY"
fi
cd "$REPOSITORY"
# Nobody else is at work here: whoever held these was killed. Not every image has `find`.
rm -f .git/*.lock
find .git/refs -name '*.lock' -exec rm -f {} + || true
# Another agent, with other rights, may have worked here: no hook, filter, helper or address that it
# left to git is this one's. git writes them anew.
format="$(git rev-parse --show-object-format 2> /dev/null || echo sha1)"
rm -rf .git/config .git/config.worktree .git/hooks .git/info .git/modules .git/worktrees
git init --quiet --object-format="$format"
git remote add origin "$REPOSITORY_URL"
# A tag may be elsewhere now.
git fetch --prune --tags --force origin
git remote set-head origin --auto > /dev/null

if [ "$CONTINUE_SESSION" = true ] && [ "$(git branch --show-current)" = "$BRANCH" ]; then
    exit 0
fi
base="origin/${BASE_BRANCH:-HEAD}"
# Work that was pushed before is gone on with.
if git rev-parse --verify --quiet "refs/remotes/origin/$BRANCH" > /dev/null; then
    base="origin/$BRANCH"
fi
rm -rf .git/rebase-merge .git/rebase-apply
git checkout --force --no-track -B "$BRANCH" "$base"
git clean -ffdxq
