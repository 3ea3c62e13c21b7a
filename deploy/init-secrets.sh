#!/bin/sh
# Makes the secret files that docker-compose.yml names. What exists is kept; what only you know is made empty, and
# an empty one counts as not set where it is optional.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)/secrets
mkdir -p "$folder"
chmod 700 "$folder" # other users of this machine stay out here ...

random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }
keep() { # name value: writes it unless it is there
    [ -s "$folder/$1" ] || printf '%s\n' "$2" >"$folder/$1"
    chmod 444 "$folder/$1" # ... and the unprivileged user in a container can read the one file it is given
}

keep postgres_password "$(random 24)"
keep temporal_db_password "$(random 24)"
keep soar_db_password "$(random 24)"
keep soar_database_url "postgresql+asyncpg://soar:$(cat "$folder/soar_db_password")@postgresql:5432/soar"
keep codec_keys "k1:$(head -c 32 /dev/urandom | base64 | tr -d '\n')"
keep guardduty_secrets "$(random 32)"

for name in slack_bot_token slack_app_token slack_signing_secret aws_credentials http_secrets ssh_key; do
    if [ ! -s "$folder/$name" ]; then
        : >"$folder/$name"
        chmod 644 "$folder/$name"
        echo "fill in $folder/$name" >&2
    fi
done
