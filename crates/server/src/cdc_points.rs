//! Where a task's following begins and ends, as requests say it. All times are in UTC.

use time::PrimitiveDateTime;
use time::macros::format_description;
use whimbrel_connector::StartPoint;
use whimbrel_engine::StopTime;
use whimbrel_store::EpochMs;

const CHECKPOINT_PREFIX: &str = "checkpoint:V1#";

/// A position as `RecoveryCheckpoint` tells it, and as it may be given back in `CdcStartPosition`.
pub(crate) fn recovery_checkpoint(position: &str) -> String {
    format!("{CHECKPOINT_PREFIX}{position}")
}

/// Reads `CdcStopPosition`: `server_time:2018-02-09T12:12:12` or `commit_time:2018-02-09T12:12:12`. `None` when it has neither form.
pub(crate) fn stop(text: &str) -> Option<StopTime> {
    let (kind, time) = text.split_once(':')?;
    let at_us = moment(time)?;
    match kind.trim() {
        "server_time" => Some(StopTime::Server(at_us)),
        "commit_time" => Some(StopTime::Commit(at_us)),
        _ => None,
    }
}

/// Where following begins by `CdcStartTime` or `CdcStartPosition`: a time such as `2018-03-08T12:12:12`, a checkpoint of ours, or a place in the
/// source's own notation.
pub(crate) fn start(time: Option<EpochMs>, position: Option<&str>) -> Option<StartPoint> {
    if let Some(EpochMs(at_ms)) = time {
        return Some(StartPoint::Time(at_ms.saturating_mul(1000)));
    }
    let position = position?;
    if let Some(at_us) = moment(position) {
        return Some(StartPoint::Time(at_us));
    }
    let given = position.strip_prefix(CHECKPOINT_PREFIX).unwrap_or(position);
    Some(StartPoint::Given(given.to_owned()))
}

/// Microseconds since 1970.
fn moment(text: &str) -> Option<i64> {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let time = PrimitiveDateTime::parse(text.trim(), format).ok()?;
    Some(time.assume_utc().unix_timestamp().saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_US: i64 = 1_518_178_332_000_000;

    #[test]
    fn both_kinds_of_stop_are_read_in_utc() {
        assert_eq!(
            stop("server_time: 2018-02-09T12:12:12"),
            Some(StopTime::Server(AT_US))
        );
        assert_eq!(
            stop("commit_time:2018-02-09T12:12:12"),
            Some(StopTime::Commit(AT_US))
        );
        for other in ["", "12", "server_time:", "time:2018-02-09T12:12:12"] {
            assert_eq!(stop(other), None, "{other}");
        }
    }

    #[test]
    fn every_kind_of_start_is_read() {
        let given = |text: &str| Some(StartPoint::Given(text.to_owned()));
        assert_eq!(start(None, None), None);
        assert_eq!(
            start(Some(EpochMs(1_518_178_332_500)), None),
            Some(StartPoint::Time(AT_US + 500_000))
        );
        assert_eq!(
            start(None, Some("2018-02-09T12:12:12")),
            Some(StartPoint::Time(AT_US))
        );
        let position = recovery_checkpoint("binlog.000002:157;u:1-5");
        assert_eq!(
            start(None, Some(&position)),
            given("binlog.000002:157;u:1-5")
        );
        for other in ["4AF/B00000D0", "binlog.000024:373", "0-1-100"] {
            assert_eq!(start(None, Some(other)), given(other));
        }
    }
}
