//! `CdcStopPosition`: `server_time:2018-02-09T12:12:12` or `commit_time:2018-02-09T12:12:12`, in UTC.

use time::PrimitiveDateTime;
use time::macros::format_description;
use whimbrel_engine::StopTime;

/// Reads a stop position; `None` when it has neither form.
pub(crate) fn parse(text: &str) -> Option<StopTime> {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let (kind, time) = text.split_once(':')?;
    let time = PrimitiveDateTime::parse(time.trim(), format).ok()?;
    let at_us = time.assume_utc().unix_timestamp().saturating_mul(1_000_000);
    match kind.trim() {
        "server_time" => Some(StopTime::Server(at_us)),
        "commit_time" => Some(StopTime::Commit(at_us)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_time_are_read_in_utc() {
        let at_us = 1_518_178_332_000_000;
        assert_eq!(
            parse("server_time: 2018-02-09T12:12:12"),
            Some(StopTime::Server(at_us))
        );
        assert_eq!(
            parse("commit_time:2018-02-09T12:12:12"),
            Some(StopTime::Commit(at_us))
        );
        for other in ["", "12", "server_time:", "time:2018-02-09T12:12:12"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
