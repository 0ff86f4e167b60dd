#!/usr/bin/env bash
# Runs a version before beside this one: instance one of examples/cluster is built from REVISION, the other two from this
# tree, all on one PostgreSQL. The judge of examples/cluster watches them from outside, as it watches three of a kind.
#
#	tools/before/beside.sh REVISION [flags of examples/cluster]
#
# The old instance starts first, so the new ones migrate the schema while it runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../examples/cluster"

revision=${1:?which version? Name a tag or a commit}
shift
if ! git rev-parse --verify --quiet "$revision^{commit}" >/dev/null; then
	echo "left out: the history here has no $revision"
	exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
git -C ../.. archive "$revision" | tar -x -C "$dir"
(cd "$dir/examples/cluster" && GOWORK=off go build -o "$dir/before" .)
GOWORK=off go build -o "$dir/now" .
"$dir/now" -before "$dir/before" -limits postgres -goal 0 "$@" # the clock of a busy machine proves nothing
