//! Brings the schema up to date by numbered migrations.
//!
//! A fresh store runs the same list from the start, so it equals a migrated one. A migration that was released is never edited:
//! a change is a new file with the next number. Each runs in a transaction together with its record.

use sqlx::Row as _;
use sqlx::sqlite::SqlitePool;

use super::{database, sql};
use crate::{EpochMs, StoreError};

/// Migration `n` is the `n - 1`th item.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_resources.sql")];

const MIGRATE: &str = "bring its schema up to date";

pub(super) async fn run(pool: &SqlitePool) -> Result<(), StoreError> {
    run_up_to(pool, MIGRATIONS).await
}

/// Whether the schema is the one of this program. Changes nothing.
pub(super) async fn is_current(pool: &SqlitePool) -> Result<bool, StoreError> {
    let found = sqlx::query(sql::CURRENT_VERSION).fetch_one(pool).await;
    match found.and_then(|row| row.try_get::<i64, _>(0)) {
        Ok(found) => Ok(usize::try_from(found) == Ok(MIGRATIONS.len())),
        // No table of versions: the other process is only about to make it.
        Err(sqlx::Error::Database(_)) => Ok(false),
        Err(error) => Err(database("read its version")(error)),
    }
}

async fn run_up_to(pool: &SqlitePool, migrations: &[&'static str]) -> Result<(), StoreError> {
    let mut transaction = pool
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(database(MIGRATE))?;
    sqlx::query(sql::CREATE_VERSIONS)
        .execute(&mut *transaction)
        .await
        .map_err(database(MIGRATE))?;
    let found: i64 = sqlx::query(sql::CURRENT_VERSION)
        .fetch_one(&mut *transaction)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(database(MIGRATE))?;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (version, statements) in (1..).zip(migrations) {
        if version <= found {
            continue;
        }
        tracing::info!(version, "migrating the store");
        sqlx::raw_sql(*statements)
            .execute(&mut *transaction)
            .await
            .map_err(database(MIGRATE))?;
        sqlx::query(sql::RECORD_VERSION)
            .bind(version)
            .bind(EpochMs::now().0)
            .execute(&mut *transaction)
            .await
            .map_err(database(MIGRATE))?;
    }
    transaction.commit().await.map_err(database(MIGRATE))
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePoolOptions;

    use super::*;

    async fn pool() -> SqlitePool {
        SqlitePoolOptions::new()
            .max_connections(1)
            .connect("sqlite::memory:")
            .await
            .unwrap()
    }

    async fn schema(pool: &SqlitePool) -> Vec<(String, Option<String>)> {
        let rows = sqlx::query("SELECT name, sql FROM sqlite_schema ORDER BY name")
            .fetch_all(pool)
            .await
            .unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    #[tokio::test]
    async fn a_migrated_store_equals_a_fresh_one() {
        let fresh = pool().await;
        run(&fresh).await.unwrap();
        let migrated = pool().await;
        for count in 0..=MIGRATIONS.len() {
            run_up_to(&migrated, &MIGRATIONS[..count]).await.unwrap();
        }
        run(&migrated).await.unwrap();
        assert_eq!(schema(&fresh).await, schema(&migrated).await);
    }

    #[tokio::test]
    async fn a_store_of_a_later_version_is_refused() {
        let pool = pool().await;
        run(&pool).await.unwrap();
        sqlx::query(sql::RECORD_VERSION)
            .bind(999_i64)
            .bind(0_i64)
            .execute(&pool)
            .await
            .unwrap();
        let error = run(&pool).await.unwrap_err();
        assert!(
            matches!(error, StoreError::TooNew { found: 999, .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_failed_migration_leaves_nothing() {
        let pool = pool().await;
        let broken = &["CREATE TABLE a (x TEXT); CREATE TABLE a (x TEXT);"];
        assert!(run_up_to(&pool, broken).await.is_err());
        assert_eq!(schema(&pool).await, []);
    }
}
