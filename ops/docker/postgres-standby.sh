# The standby of compose.yaml: a copy of the primary at its first start, which follows it from then on.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    install --directory --owner postgres --group postgres --mode 700 "$PGDATA"
    gosu postgres pg_basebackup --pgdata "$PGDATA" --write-recovery-conf --checkpoint fast \
        --dbname "host=postgres-1 user=tts_standby application_name=standby password=$PGPASSWORD"
fi
exec docker-entrypoint.sh postgres -c wal_keep_size=1GB -c max_connections=200
