#!/usr/bin/env bash
# Deploys the rotation functions of this directory with the AWS CLI, rotates a secret with
# each, checks what came of it and takes everything down again.
#
#   eval "$(coffer env)"
#   examples/rotation/run.sh [python] [node] [go]
#
# Needs aws and python3 (which makes the zip files), for node also npm, for go also go.
set -euo pipefail
cd "$(dirname "$0")"
export AWS_PAGER=''
tmp=$(mktemp -d)
undo=()
finish() {
	for ((i = ${#undo[@]} - 1; i >= 0; i--)); do
		${undo[i]} >/dev/null 2>&1 || echo "not taken down: ${undo[i]}"
	done
	rm -rf "$tmp"
}
trap finish EXIT

# The endpoint is given to old versions of the CLI as well, which do not read it.
aws() { command aws ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} --output text "$@"; }
fail() { echo "FAIL $*" >&2 && exit 1; }

# build LANGUAGE: the package, in $tmp/LANGUAGE.zip.
build() {
	local dir=$tmp/$1
	cp -r "$1" "$dir"
	case $1 in
	node) npm install --prefix "$dir" --silent --no-audit --no-fund --no-package-lock ;;
	go)
		CGO_ENABLED=0 GOOS=linux go build -tags lambda.norpc -o "$dir/bootstrap" ./go
		rm "$dir"/*.go
		;;
	esac
	(cd "$dir" && python3 -m zipfile -c "$tmp/$1.zip" *)
}

# role NAME SECRET-ARN: a role for a function that rotates this one secret; its ARN is printed.
role() {
	aws iam create-role --role-name "$1" --query Role.Arn --assume-role-policy-document '{"Version": "2012-10-17",
		"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}' &&
		aws iam put-role-policy --role-name "$1" --policy-name rotate --policy-document '{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Resource": "'"$2"'", "Action": ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue",
			"secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"]},
		{"Effect": "Allow", "Resource": "*", "Action": ["secretsmanager:GetRandomPassword",
			"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]}]}'
}

# rotate LANGUAGE RUNTIME HANDLER
rotate() {
	local name=rotate-$1-$$ arn role old value new
	echo "$1: building"
	build "$1"

	echo "$1: deploying $name"
	value=$(python3 -c 'import secrets; print(secrets.token_hex(20))')
	arn=$(aws secretsmanager create-secret --name "$name" --secret-string "$value" --query ARN)
	undo+=("aws secretsmanager delete-secret --secret-id $arn --force-delete-without-recovery")
	old=$(aws secretsmanager describe-secret --secret-id "$arn" --query 'keys(VersionIdsToStages)[0]')
	role=$(role "$name" "$arn")
	undo+=("aws iam delete-role --role-name $name" "aws iam delete-role-policy --role-name $name --policy-name rotate")
	# On AWS a role that was just made takes some seconds to be known.
	for try in 1 2 3 4 5 6; do
		aws lambda create-function --function-name "$name" --runtime "$2" --handler "$3" --role "$role" \
			--zip-file "fileb://$tmp/$1.zip" --timeout 30 --memory-size 256 --architectures "$architecture" --query FunctionArn && break
		[ $try -lt 6 ] || fail "$1: the function cannot be made"
		sleep 5
	done
	undo+=("aws logs delete-log-group --log-group-name /aws/lambda/$name" "aws lambda delete-function --function-name $name")
	aws lambda wait function-active-v2 --function-name "$name"
	aws lambda add-permission --function-name "$name" --statement-id rotation --action lambda:InvokeFunction \
		--principal secretsmanager.amazonaws.com --source-account "$(cut -d: -f5 <<<"$arn")" >/dev/null

	echo "$1: rotating"
	aws secretsmanager rotate-secret --secret-id "$arn" --rotation-rules AutomaticallyAfterDays=30 \
		--rotation-lambda-arn "$(aws lambda get-function --function-name "$name" --query Configuration.FunctionArn)" >/dev/null
	for try in {1..60}; do
		new=$(aws secretsmanager get-secret-value --secret-id "$arn" --query VersionId)
		[ "$new" = "$old" ] || break
		[ "$try" -lt 60 ] || fail "$1: not rotated; the function's log: $(aws logs filter-log-events --log-group-name "/aws/lambda/$name" --query 'events[].[message]')"
		sleep 1
	done
	[ "$(aws secretsmanager get-secret-value --secret-id "$arn" --version-stage AWSPREVIOUS --query SecretString)" = "$value" ] ||
		fail "$1: AWSPREVIOUS is not the old value"
	aws secretsmanager get-secret-value --secret-id "$arn" --query SecretString >"$tmp/values"
	[ "$(cat "$tmp/values")" != "$value" ] || fail "$1: AWSCURRENT is the old value"

	# The log tells of each step and holds no value. It may come a little later.
	echo "$value" >>"$tmp/values"
	for try in {1..30}; do
		aws logs filter-log-events --log-group-name "/aws/lambda/$name" --query 'events[].[message]' >"$tmp/log" || :
		! grep -q "finishSecret: version $new is done" "$tmp/log" || break
		[ "$try" -lt 30 ] || fail "$1: the function's log does not tell of finishSecret"
		sleep 1
	done
	! grep -q -F -f "$tmp/values" "$tmp/log" || fail "$1: the function's log holds a value"
	echo "$1: ok"
}

case $(uname -m) in aarch64 | arm64) architecture=arm64 ;; *) architecture=x86_64 ;; esac
[ $# -gt 0 ] || set -- python node go
for language; do
	case $language in
	python) rotate python python3.12 rotate.handler ;;
	node) rotate node nodejs22.x rotate.handler ;;
	go) rotate go provided.al2023 bootstrap ;;
	*) fail "no such example: $language" ;;
	esac
done
