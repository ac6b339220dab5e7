-- Roles and the database, once, as a superuser, with a password of the service's own:
--   psql -v ON_ERROR_STOP=1 -v password="$(openssl rand -hex 24)" -f roles.sql
--
-- tts_owner has the tables and nobody logs in as it. tts is the service: it acts as tts_owner, so that a
-- second login (a new password, without a pause) finds the same tables. It may do nothing outside of this
-- database. Its role makes the tables by itself when it starts. For a service that may make none, leave out
-- `IN ROLE tts_owner` and `SET role`, let a login of the owner run `tts migrate --grant tts` before the first
-- start and at each upgrade, and GRANT USAGE ON SCHEMA public TO tts. tts_reader is for people and
-- dashboards: the log, but never what was said.
CREATE ROLE tts_owner NOLOGIN;
CREATE ROLE tts LOGIN PASSWORD :'password' CONNECTION LIMIT 180 IN ROLE tts_owner;
CREATE ROLE tts_reader NOLOGIN;
CREATE ROLE tts_standby LOGIN REPLICATION PASSWORD :'password';

CREATE DATABASE tts OWNER tts_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE tts FROM PUBLIC;
GRANT CONNECT ON DATABASE tts TO tts, tts_reader;
-- Every session of the service is tts_owner from its beginning.
ALTER ROLE tts IN DATABASE tts SET role = 'tts_owner';
-- One that was forgotten open holds nothing up. Through a pooler of transactions the service sets no timeouts
-- of its own, as the next client would find them: there these are the only ones.
ALTER ROLE tts IN DATABASE tts SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE tts IN DATABASE tts SET statement_timeout = '10s';

\connect tts
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER SCHEMA public OWNER TO tts_owner;
GRANT USAGE ON SCHEMA public TO tts_reader;
