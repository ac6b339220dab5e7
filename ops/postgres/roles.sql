-- Roles and the database, once, as a superuser, with a password of the service's own:
--   psql -v ON_ERROR_STOP=1 -v password="$(openssl rand -hex 24)" -f roles.sql
--
-- tts_owner has the tables and nobody logs in as it. tts is the service: it acts as tts_owner, so that a
-- second login (a new password, without a pause) finds the same tables. It may do nothing outside of this
-- database. The service makes its tables by itself when it starts, so the right to make some in its own
-- schema has to stay. tts_reader is for people and dashboards: the log, but never what was said.
CREATE ROLE tts_owner NOLOGIN;
CREATE ROLE tts LOGIN PASSWORD :'password' CONNECTION LIMIT 180 IN ROLE tts_owner;
CREATE ROLE tts_reader NOLOGIN;
CREATE ROLE tts_standby LOGIN REPLICATION PASSWORD :'password';

CREATE DATABASE tts OWNER tts_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE tts FROM PUBLIC;
GRANT CONNECT ON DATABASE tts TO tts, tts_reader;
-- Every session of the service is tts_owner from its beginning.
ALTER ROLE tts IN DATABASE tts SET role = 'tts_owner';
-- One that was forgotten open holds nothing up.
ALTER ROLE tts IN DATABASE tts SET idle_in_transaction_session_timeout = '10s';

\connect tts
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO tts_owner;
GRANT USAGE ON SCHEMA public TO tts_reader;
