#!/bin/sh
# Makes what is generated here: the policies that the playbooks in playbooks/ need. Give other playbooks or actions as
# arguments for a role that may do other things.
set -eu
cd "$(dirname "$0")/../.."
out=${OUT:-deploy/aws}
soar=${SOAR:-.venv/bin/soar}

if [ $# -eq 0 ]; then
	for file in playbooks/*.yaml; do
		case $file in *.test.yaml) ;; *) set -- "$@" "$file" ;; esac
	done
fi

make() {
	format=$1 target=$2
	shift 2
	mkdir -p "$(dirname "$target")"
	"$soar" actions iam-policy --format "$format" "$@" >"$target.new"
	mv "$target.new" "$target"
}

make terraform "$out/terraform/responder/policies.tf" "$@"
make cloudformation "$out/responder-role.yaml" "$@"
