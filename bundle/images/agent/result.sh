# The result of a run: a file that is written in place, of at most 4,096 bytes.

# write_result OUTCOME [DEFAULT]: the summary is the last line of standard input that says something.
write_result() {
    jq --raw-input --slurp --compact-output --arg outcome "$1" --arg default "${2:-}" \
        --rawfile token "${GITHUB_TOKEN_FILE:-/dev/null}" '
        def hidden: ($token | rtrimstr("\n")) as $secret
            | if $secret == "" then . else split($secret) | join("***") end;
        def plain: gsub("\u001b\\[[0-9;?]*[A-Za-z]"; "") | gsub("[[:cntrl:]]+"; " ")
            | sub("^\\s+"; "") | sub("\\s+$"; "");
        [split("\n")[] | plain | select(. != "")] | last // $default
            | hidden | {$outcome, summary: .[:800]}' > "$work/result"
    cat "$work/result" > "$RESULT_FILE"
}

# add_to_result KEY VALUE: what an agent said itself is cut only where it would be too long.
add_to_result() {
    jq --compact-output --arg key "$1" --arg value "$2" '.[$key] = $value
        | if (tojson | utf8bytelength) > 4096 then .summary |= (tostring | .[:800]) else . end' \
        "$RESULT_FILE" > "$work/result"
    cat "$work/result" > "$RESULT_FILE"
}
