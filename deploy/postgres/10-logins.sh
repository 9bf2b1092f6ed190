#!/bin/sh
# Two logins, neither a superuser: eo_owner for `eo migrate`, eo_processes for everything else. compose.yaml lets the image run
# this at the first start. On a volume of an older version, once by hand:
#   docker compose exec postgres sh /docker-entrypoint-initdb.d/10-logins.sh
# Afterwards the superuser has no password, so that it is reached inside the container only. Repeated, it sets passwords anew.
set -eu
psql -v ON_ERROR_STOP=1 -q --username postgres --dbname postgres \
  -v owner="$EO_OWNER_PASSWORD" -v processes="$EO_PROCESSES_PASSWORD" <<'SQL'
SELECT 'CREATE ROLE eo_owner LOGIN CREATEROLE' WHERE to_regrole('eo_owner') IS NULL \gexec
SELECT 'CREATE ROLE eo_processes LOGIN' WHERE to_regrole('eo_processes') IS NULL \gexec
ALTER ROLE eo_owner PASSWORD :'owner';
ALTER ROLE eo_processes PASSWORD :'processes';
ALTER DATABASE postgres OWNER TO eo_owner;
SELECT format('ALTER TABLE %s OWNER TO eo_owner', oid::regclass) FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
UNION ALL SELECT format('ALTER ROUTINE %s OWNER TO eo_owner', oid::regprocedure) FROM pg_proc
 WHERE pronamespace = 'public'::regnamespace \gexec
ALTER ROLE postgres PASSWORD NULL;
SQL
