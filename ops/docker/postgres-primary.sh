# The primary of compose.yaml, at its first start: roles, database, and who may follow it.
set -eu
psql -U postgres -v ON_ERROR_STOP=1 -v password="$POSTGRES_PASSWORD" -f /tts/roles.sql
echo 'host replication tts_standby all scram-sha-256' >>"$PGDATA/pg_hba.conf"
