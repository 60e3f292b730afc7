BEGIN TRANSACTION;
CREATE TABLE attempts (
        run TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL, started_at REAL NOT NULL, ended_at REAL,
        pid INTEGER, start_ticks INTEGER, boot_id TEXT, outcome TEXT, reason TEXT NOT NULL, exit_code INTEGER,
        cost_usd REAL, PRIMARY KEY (run, number)
    ) WITHOUT ROWID;
INSERT INTO "attempts" VALUES('r-20261119T060000Z-000002',1,'ended',1795068000.0,1795068001.0,NULL,NULL,NULL,'success','',NULL,NULL);
INSERT INTO "attempts" VALUES('r-20261120T060000Z-000003',1,'ended',1795154400.0,1795154401.0,NULL,NULL,NULL,'failure','exit 1',NULL,NULL);
CREATE TABLE deliveries (
        run TEXT NOT NULL, target TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, not_before REAL,
        why TEXT NOT NULL DEFAULT '', done_at REAL, base_hash TEXT NOT NULL DEFAULT '',
        detail TEXT NOT NULL DEFAULT '', restored INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (run, target)
    ) WITHOUT ROWID;
INSERT INTO "deliveries" VALUES('r-20261119T060000Z-000002','daily_log',0,NULL,'',NULL,'','',0);
INSERT INTO "deliveries" VALUES('r-20261119T060000Z-000002','note',0,NULL,'',1795068002.0,'','',0);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('last pass','2026-11-20T06:00:05+00:00');
INSERT INTO "meta" VALUES('written_by','0.0.1');
CREATE TABLE notes (path TEXT PRIMARY KEY, base_hash TEXT NOT NULL, written_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE requests (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, verb TEXT NOT NULL, task TEXT NOT NULL,
        args TEXT NOT NULL, state TEXT NOT NULL, made_at REAL NOT NULL, claimed_at REAL, answered_at REAL,
        owner TEXT NOT NULL DEFAULT '', answer TEXT
    );
CREATE TABLE runs (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, key TEXT NOT NULL UNIQUE, task TEXT NOT NULL,
        path TEXT NOT NULL, trigger TEXT NOT NULL, fire_time INTEGER NOT NULL, last_fire_time INTEGER NOT NULL,
        count INTEGER NOT NULL, claimed_at REAL NOT NULL, owner TEXT NOT NULL, lease_until REAL,
        state TEXT NOT NULL, snapshot TEXT NOT NULL, waiting_for TEXT NOT NULL, not_before REAL,
        outcome TEXT, reason TEXT NOT NULL, started_at REAL, ended_at REAL, attempts INTEGER NOT NULL,
        reserved_usd REAL NOT NULL, result TEXT, extra TEXT NOT NULL
    );
INSERT INTO "runs" VALUES(1,'r-20261118T060000Z-000001','report|at|1794981600','report','00_system/tasks/report.md','at',1794981600,1794981600,1,1794981600.0,'d0',NULL,'ended','h','',NULL,'missed','asleep',NULL,1794981600.0,0,0.0,NULL,'{}');
INSERT INTO "runs" VALUES(2,'r-20261119T060000Z-000002','report|at|1795068000','report','00_system/tasks/report.md','at',1795068000,1795068000,1,1795068000.0,'d0',NULL,'ended','h','',NULL,'success','',1795068000.0,1795068001.0,1,0.0,NULL,'{}');
INSERT INTO "runs" VALUES(3,'r-20261120T060000Z-000003','report|at|1795154400','report','00_system/tasks/report.md','at',1795154400,1795154400,1,1795154400.0,'d0',NULL,'waiting','h','retry',1795154460.0,NULL,'',1795154400.0,NULL,1,0.0,NULL,'{}');
CREATE TABLE snapshots (hash TEXT PRIMARY KEY, definition TEXT NOT NULL);
INSERT INTO "snapshots" VALUES('h','{"type": "command", "action": {"command": "echo report"}, "overlap": "skip", "retries": 2, "retry_delay": 60}');
CREATE TABLE tasks (
        task TEXT PRIMARY KEY, path TEXT NOT NULL, fingerprint TEXT NOT NULL, armed INTEGER NOT NULL,
        watermark REAL NOT NULL, latched INTEGER NOT NULL, invalid_since REAL, source TEXT NOT NULL,
        seen_definition TEXT NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "tasks" VALUES('report','00_system/tasks/report.md','f',1,1795154400.0,1,NULL,'{"type": "command", "command": "echo report", "cron": "0 7 * * *"}','d');
CREATE INDEX runs_of_task ON runs (task, last_fire_time);
CREATE INDEX runs_by_time ON runs (last_fire_time);
CREATE INDEX runs_active ON runs (fire_time) WHERE state <> 'ended';
CREATE INDEX runs_failed ON runs (last_fire_time) WHERE outcome IN ('failure', 'timeout', 'abandoned');
CREATE INDEX runs_of_snapshot ON runs (snapshot);
CREATE INDEX runs_ended ON runs (task, ended_at) WHERE state = 'ended';
CREATE INDEX deliveries_pending ON deliveries (run) WHERE done_at IS NULL;
CREATE INDEX deliveries_done ON deliveries (done_at) WHERE done_at IS NOT NULL;
CREATE INDEX requests_open ON requests (seq) WHERE state <> 'answered';
COMMIT;
PRAGMA user_version=1;
