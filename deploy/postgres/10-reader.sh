#!/usr/bin/env bash
# Runs once, when the database is made: the role that bars-api and people at a psql prompt use. It reads, and writes nothing.
# The migrations grant it what there is to read.
set -euo pipefail

psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 --set password="$POSTGRES_READER_PASSWORD" <<'SQL'
CREATE ROLE tapeline_reader LOGIN PASSWORD :'password';
ALTER ROLE tapeline_reader SET statement_timeout = '30s';
ALTER ROLE tapeline_reader SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE tapeline_reader SET default_transaction_read_only = on;
ALTER ROLE tapeline_reader SET search_path = market_data_oltp, public;
SQL
