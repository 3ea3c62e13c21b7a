#!/bin/sh
# Brings both of Temporal's databases to the schema of this version. Safe to run again: an upgrade does just that.
set -eu
SQL_PASSWORD=$(cat "$SQL_PASSWORD_FILE")
export SQL_PASSWORD

update() {
    temporal-sql-tool --db "$1" update-schema -d "/etc/temporal/schema/postgresql/v12/$2/versioned"
}

for pair in temporal:temporal temporal_visibility:visibility; do
    database=${pair%%:*}
    folder=${pair##*:}
    # A database without a schema cannot be updated: it gets the first version, then the rest.
    update "$database" "$folder" || {
        temporal-sql-tool --db "$database" setup-schema -v 0.0
        update "$database" "$folder"
    }
done
