#!/bin/sh
# Run once by the PostgreSQL image, on an empty data folder: a role and its databases for Temporal, another for us,
# so that neither can read the other's.
set -eu
temporal_password=$(cat /run/secrets/temporal_db_password)
soar_password=$(cat /run/secrets/soar_db_password)
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    -v temporal_password="$temporal_password" -v soar_password="$soar_password" <<'SQL'
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE ROLE soar LOGIN PASSWORD :'soar_password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
CREATE DATABASE soar OWNER soar;
REVOKE CONNECT ON DATABASE temporal, temporal_visibility, soar FROM PUBLIC;
SQL
