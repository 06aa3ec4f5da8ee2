//! The results of a sweep: one SQLite file.
//!
//! A point is there with all that its run came to, or not at all: it goes in by one transaction.
//! Nothing in the file depends on when or where a point was run, so that shards add up to the
//! same file.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::plan::Point;
use crate::failure::{Failure, Result};
use crate::run::report::Report;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS points (
        key TEXT PRIMARY KEY,            -- a hash of VMM, policy, guest and marker
        number INTEGER NOT NULL,         -- in the plan, from 0
        policy TEXT NOT NULL,            -- vm.toml
        error TEXT,                      -- why there is no result
        instructions INTEGER,            -- from the first VM's start to the end of the run
        report TEXT                      -- what --report wrote, JSON
    );
    CREATE TABLE IF NOT EXISTS settings (
        point TEXT NOT NULL REFERENCES points(key),
        place INTEGER NOT NULL,          -- in the plan, from 0
        name TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (point, name)
    );
    CREATE TABLE IF NOT EXISTS exits (
        point TEXT NOT NULL REFERENCES points(key),
        vm TEXT NOT NULL, exit TEXT NOT NULL,
        count INTEGER NOT NULL,
        cycles INTEGER NOT NULL,         -- instructions of the VMM
        PRIMARY KEY (point, vm, exit)
    );";

/// The file, open.
pub struct Database {
    connection: Connection,
    name: String,
}

/// A point with what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: String,
    /// Its number in the plan.
    pub number: i64,
    /// What was set, name and value.
    pub settings: Vec<(String, String)>,
    /// Instructions of the whole run; none if it failed.
    pub instructions: Option<u64>,
    /// Exits of all VMs.
    pub exits: u64,
    /// Why there is no result.
    pub error: Option<String>,
}

impl Database {
    /// Opens it, and makes it if it is not there.
    ///
    /// # Errors
    /// It is no database, or cannot be written.
    pub fn open(file: &Path) -> Result<Database> {
        let name = file.display().to_string();
        let wrong = |error| Failure::bad_input(format!("cannot use {name}: {error}"));
        let connection = Connection::open(file).map_err(wrong)?;
        connection.execute_batch(TABLES).map_err(wrong)?;
        Ok(Database { connection, name })
    }

    /// The keys of the points that are done.
    pub fn done(&self) -> Result<BTreeSet<String>> {
        let keys = || {
            let mut query = self.connection.prepare("SELECT key FROM points")?;
            let rows = query.query_map([], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<BTreeSet<String>>>()
        };
        keys().map_err(|error| self.failed(&error))
    }

    /// Forgets the points that failed; how many there were.
    pub fn forget_failures(&mut self) -> Result<usize> {
        forget_failures(&mut self.connection).map_err(|error| self.failed(&error))
    }

    /// Puts a point in, whole.
    pub fn put(&mut self, point: &Point, result: &Result<Report>) -> Result<()> {
        put(&mut self.connection, point, result).map_err(|error| self.failed(&error))
    }

    /// Takes in all points of another sweep's file that are not here yet; how many.
    pub fn merge(&mut self, other: &Path) -> Result<usize> {
        if !other.is_file() {
            let message = format!("--merge: there is no {}", other.display());
            return Err(Failure::bad_input(message));
        }
        // Makes its tables, if it has none.
        Database::open(other)?;
        let other = other.to_string_lossy().into_owned();
        merge(&mut self.connection, &other).map_err(|error| self.failed(&error))
    }

    /// Every point, by its number.
    pub fn rows(&self) -> Result<Vec<Row>> {
        rows(&self.connection).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &rusqlite::Error) -> Failure {
        Failure::unavailable(format!("cannot use {}: {error}", self.name))
    }
}

fn put(
    connection: &mut Connection,
    point: &Point,
    result: &Result<Report>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let (report, error) = match result {
        Ok(report) => (Some(report), None),
        Err(failure) => (None, Some(&failure.message)),
    };
    let text = report.and_then(|report| serde_json::to_string(report).ok());
    let instructions = report.and_then(|report| report.cycles).map(signed);
    transaction.execute(
        "INSERT INTO points (key, number, policy, error, instructions, report)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            point.key,
            point.number as i64,
            point.policy,
            error,
            instructions,
            text
        ],
    )?;
    for (place, (name, value)) in point.settings.iter().enumerate() {
        transaction.execute(
            "INSERT INTO settings (point, place, name, value) VALUES (?1, ?2, ?3, ?4)",
            params![point.key, place as i64, name, value],
        )?;
    }
    for vm in report.into_iter().flat_map(|report| &report.vms) {
        for exit in &vm.exits {
            transaction.execute(
                "INSERT INTO exits (point, vm, exit, count, cycles) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    point.key,
                    vm.name,
                    exit.name,
                    signed(exit.count),
                    signed(exit.cycles)
                ],
            )?;
        }
    }
    transaction.commit()
}

fn forget_failures(connection: &mut Connection) -> rusqlite::Result<usize> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "DELETE FROM settings WHERE point IN (SELECT key FROM points WHERE error IS NOT NULL)",
        [],
    )?;
    let failures = transaction.execute("DELETE FROM points WHERE error IS NOT NULL", [])?;
    transaction.commit()?;
    Ok(failures)
}

/// SQLite's integers have a sign; no count comes near it.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn merge(connection: &mut Connection, other: &str) -> rusqlite::Result<usize> {
    connection.execute("ATTACH DATABASE ?1 AS other", [other])?;
    let merged = (|| {
        let transaction = connection.transaction()?;
        transaction.execute_batch(
            "CREATE TEMP TABLE new AS
             SELECT key FROM other.points WHERE key NOT IN (SELECT key FROM main.points)",
        )?;
        let new = "(SELECT key FROM new)";
        let merged = transaction.execute(
            &format!("INSERT INTO main.points SELECT * FROM other.points WHERE key IN {new}"),
            [],
        )?;
        for table in ["settings", "exits"] {
            transaction.execute(
                &format!(
                    "INSERT INTO main.{table} SELECT * FROM other.{table} WHERE point IN {new}"
                ),
                [],
            )?;
        }
        transaction.execute_batch("DROP TABLE temp.new")?;
        transaction.commit()?;
        Ok(merged)
    })();
    connection.execute("DETACH DATABASE other", [])?;
    merged
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut points = connection
        .prepare("SELECT key, number, instructions, error FROM points ORDER BY number, key")?;
    let mut settings =
        connection.prepare("SELECT name, value FROM settings WHERE point = ?1 ORDER BY place")?;
    let mut exits = connection.prepare("SELECT sum(count) FROM exits WHERE point = ?1")?;
    let points = points.query_map([], |row| {
        let key: String = row.get(0)?;
        let instructions: Option<i64> = row.get(2)?;
        let settings = settings
            .query_map([&key], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let exits: Option<Option<i64>> = exits.query_row([&key], |row| row.get(0)).optional()?;
        Ok(Row {
            key,
            number: row.get(1)?,
            settings,
            instructions: instructions.and_then(|number| u64::try_from(number).ok()),
            exits: u64::try_from(exits.flatten().unwrap_or(0)).unwrap_or(0),
            error: row.get(3)?,
        })
    })?;
    points.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::sweep::plan::tests::points;
    use crate::run::records::Exit;
    use crate::run::report::Vm;

    fn report(point: &Point) -> Report {
        Report {
            cycles: Some(1000 + point.number as u64),
            vms: vec![Vm {
                name: "a".into(),
                exits: vec![Exit {
                    name: "cpuid".into(),
                    count: point.number as u64,
                    cycles: 50,
                    ..Exit::default()
                }],
                ..Vm::default()
            }],
            ..Report::default()
        }
    }

    const PLAN: &str = "intercepts = [\"rdtsc\", \"pause\", \"wbinvd\"]\n";

    /// However the points are spread over shards: the same rows.
    #[test]
    fn shards_add_up_to_the_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let points = points(PLAN);
        let open = |name: &str| Database::open(&folder.path().join(name)).expect("a database");
        let mut whole = open("whole.db");
        for point in &points {
            whole.put(point, &Ok(report(point))).expect("a point");
        }
        let mut merged = open("merged.db");
        for shard in (0..4).rev() {
            let name = format!("shard{shard}.db");
            let mut database = open(&name);
            for point in points.iter().filter(|point| point.number % 4 == shard) {
                database.put(point, &Ok(report(point))).expect("a point");
            }
            let file = folder.path().join(&name);
            assert_eq!(merged.merge(&file).expect("a merge"), 2);
            // What is there already is not taken twice.
            assert_eq!(merged.merge(&file).expect("a merge"), 0);
        }
        assert_eq!(merged.rows().expect("rows"), whole.rows().expect("rows"));
        assert_eq!(whole.rows().expect("rows").len(), 8);
    }

    #[test]
    fn a_failure_is_kept_until_it_is_to_be_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut database = Database::open(&folder.path().join("a.db")).expect("a database");
        let points = points(PLAN);
        database
            .put(&points[0], &Err(Failure::host("it broke")))
            .expect("a point");
        let row = &database.rows().expect("rows")[0];
        assert_eq!(row.error.as_deref(), Some("it broke"));
        assert_eq!(database.done().expect("keys").len(), 1);
        assert_eq!(database.forget_failures().expect("none"), 1);
        assert!(database.done().expect("keys").is_empty());
        database
            .put(&points[0], &Ok(report(&points[0])))
            .expect("a point");
    }

    #[test]
    fn a_point_is_never_there_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut database = Database::open(&folder.path().join("a.db")).expect("a database");
        let point = &points(PLAN)[3];
        database.put(point, &Ok(report(point))).expect("a point");
        assert!(database.put(point, &Ok(report(point))).is_err());
        let [row] = &database.rows().expect("rows")[..] else {
            panic!("not one row")
        };
        assert_eq!(
            (row.number, row.exits, row.instructions),
            (3, 3, Some(1003))
        );
    }

    #[test]
    fn a_file_that_is_no_database_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(
            file.path(),
            "not a database, and long enough to be looked at: ".repeat(20),
        )
        .expect("text");
        assert!(Database::open(file.path()).is_err_and(|error| error.status.code() == 2));
    }
}
