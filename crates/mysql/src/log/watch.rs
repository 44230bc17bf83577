//! Looks after the files of the binary log that a task still needs. The server removes them by rules of its own, whoever needs them: by their age,
//! counted from when they were written last, and, from MariaDB 11.4 on, by the size of all together. Whatever it removes, it removes when a
//! file is begun; the one that is being written stays.

use std::collections::HashMap;

use async_trait::async_trait;
use whimbrel_connector::kept_log::{percent, size_in_words, time_in_words};
use whimbrel_connector::{Error, KeptLog, LogWatch};
use whimbrel_core::Position;

use super::locate;
use super::place::{LogFile, Parsed};
use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::wire::{Connection, Purpose, TextRow, WireError};

const DOING: &str = "look at the source's binary log";
const SECONDS_PER_DAY: u64 = 86_400;

/// Those that a server has: names came and went with versions.
const LIMITS: &str = "SHOW GLOBAL VARIABLES WHERE variable_name IN
    ('binlog_expire_logs_seconds', 'expire_logs_days', 'binlog_expire_logs_auto_purge', 'max_binlog_total_size')";

const REMEDY: &str = "see why the target takes the changes so slowly, or not at all; let the source keep its log longer";

/// Looks after the files of one task.
pub(crate) struct FileWatch {
    options: Options,
    /// The file that was asked for last, and when it was written last, in seconds since 1970.
    closed: Option<(LogFile, u64)>,
}

impl FileWatch {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            closed: None,
        }
    }

    /// When a file was written last: the next one was begun then.
    async fn closed_at_s(&mut self, file: &LogFile, next: LogFile) -> Result<u64, Error> {
        if let Some((known, at)) = &self.closed
            && known == file
        {
            return Ok(*at);
        }
        let at = u64::from(locate::begun(&self.options, next).await?.seconds);
        self.closed = Some((file.clone(), at));
        Ok(at)
    }
}

#[async_trait]
impl LogWatch for FileWatch {
    async fn look(&mut self, needed_from: &Position) -> Result<Option<KeptLog>, Error> {
        let file = Parsed::without_ids(needed_from)?.file;
        let mut connection = connect(&self.options, Purpose::Read).await?;
        let looked = Look::take(&mut connection).await;
        // The answer is known; a failed farewell changes nothing.
        connection.quit().await.ok();
        let look = looked.map_err(|error| general(error, DOING))?;
        let Some(place) = look.files.iter().position(|(name, _)| *name == *file.name) else {
            return Ok(Some(gone(&file.name)));
        };
        let Some((next, _)) = look.files.get(place + 1) else {
            return Ok(None);
        };
        let by_size = look.by_size(place);
        let by_age = match (look.age_max_s, LogFile::new(next)) {
            (Some(max), Some(next)) => {
                let closed_at = self.closed_at_s(&file, next).await?;
                Some(by_age(
                    &file.name,
                    look.now_s.saturating_sub(closed_at),
                    max,
                ))
            }
            _ => None,
        };
        let nearer = by_age.into_iter().chain(by_size);
        Ok(nearer.max_by_key(|kept| kept.percent))
    }
}

/// The log at one moment.
#[derive(Debug, Default)]
struct Look {
    /// Names and sizes, the oldest first.
    files: Vec<(String, u64)>,
    /// By the server's clock.
    now_s: u64,
    age_max_s: Option<u64>,
    size_max: Option<u64>,
}

impl Look {
    async fn take(connection: &mut Connection) -> Result<Self, WireError> {
        let limits = connection.rows(LIMITS).await?;
        let now = connection.row("SELECT unix_timestamp()").await?;
        let files = connection.rows("SHOW BINARY LOGS").await?;
        let size = |file: &TextRow| file.number(1).unwrap_or(0);
        let limits = limits.iter();
        let limits = limits.map(|row| (row.text(0).to_ascii_lowercase(), row.text(1).to_owned()));
        Ok(Self {
            files: files
                .iter()
                .map(|file| (file.text(0).to_owned(), size(file)))
                .collect(),
            now_s: now.and_then(|row| row.number(0)).unwrap_or(0),
            ..Self::limited(&limits.collect())
        })
    }

    /// 0 stands for no limit.
    fn limited(limits: &HashMap<String, String>) -> Self {
        let number = |name: &str| -> Option<u64> {
            let number = limits.get(name)?.parse().ok()?;
            Some(number).filter(|&number| number > 0)
        };
        let days = number("expire_logs_days").map(|days| days.saturating_mul(SECONDS_PER_DAY));
        let age_max_s = number("binlog_expire_logs_seconds").or(days);
        let is_off = limits
            .get("binlog_expire_logs_auto_purge")
            .is_some_and(|purges| purges.eq_ignore_ascii_case("off"));
        Self {
            age_max_s: age_max_s.filter(|_| !is_off),
            size_max: number("max_binlog_total_size"),
            ..Self::default()
        }
    }

    fn by_size(&self, place: usize) -> Option<KeptLog> {
        let size_max = self.size_max?;
        let size = self.files[place..].iter().map(|(_, size)| size).sum();
        let name = &self.files[place].0;
        Some(KeptLog {
            percent: percent(size, size_max),
            message: format!(
                "the task still needs the binary log from {name} on, {}, and the server removes its oldest files beyond {} (max_binlog_total_size): the tables then have to be loaded again",
                size_in_words(size),
                size_in_words(size_max)
            ),
            remedy: format!("{REMEDY} (max_binlog_total_size)"),
        })
    }
}

fn by_age(name: &str, age_s: u64, max_s: u64) -> KeptLog {
    KeptLog {
        percent: percent(age_s, max_s),
        message: format!(
            "the task still needs {name} of the binary log, which was written last {} ago, and the server removes its files {} after that (binlog_expire_logs_seconds, expire_logs_days): the tables then have to be loaded again",
            time_in_words(age_s),
            time_in_words(max_s)
        ),
        remedy: format!("{REMEDY} (SET GLOBAL binlog_expire_logs_seconds, or expire_logs_days)"),
    }
}

fn gone(name: &str) -> KeptLog {
    KeptLog {
        percent: 100,
        message: format!(
            "the source's binary log no longer has {name}, from which the task would have to go on if its connection broke off: the tables then have to be loaded again"
        ),
        remedy: format!("{REMEDY} (SET GLOBAL binlog_expire_logs_seconds, or expire_logs_days)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age_max_s(limits: &[(&str, &str)]) -> Option<u64> {
        let limits = limits.iter();
        let limits = limits.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Look::limited(&limits.collect()).age_max_s
    }

    #[test]
    fn the_limit_of_each_version_is_understood() {
        let seconds = ("binlog_expire_logs_seconds", "3600");
        assert_eq!(age_max_s(&[seconds]), Some(3600));
        assert_eq!(age_max_s(&[("expire_logs_days", "2")]), Some(172_800));
        assert_eq!(
            age_max_s(&[
                ("binlog_expire_logs_seconds", "0"),
                ("expire_logs_days", "0")
            ]),
            None
        );
        assert_eq!(
            age_max_s(&[seconds, ("binlog_expire_logs_auto_purge", "OFF")]),
            None
        );
    }

    #[test]
    fn a_limit_by_size_counts_what_the_task_needs() {
        let files = [("b.1", 500), ("b.2", 300), ("b.3", 200)];
        let look = Look {
            files: files.map(|(name, size)| (name.to_owned(), size)).to_vec(),
            size_max: Some(1000),
            ..Look::default()
        };
        assert_eq!(look.by_size(0).unwrap().percent, 100);
        assert_eq!(look.by_size(1).unwrap().percent, 50);
    }
}
