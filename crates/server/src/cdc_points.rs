//! Where a task's following begins and ends, as requests say it. All times are in UTC.

use time::PrimitiveDateTime;
use time::macros::format_description;
use whimbrel_connector::StartPoint;
use whimbrel_core::RECOVERY_PREFIX;
use whimbrel_engine::StopTime;
use whimbrel_store::EpochMs;

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

/// Where following begins by `CdcStartTime` or `CdcStartPosition`: a time such as `2018-03-08T12:12:12`, a checkpoint of ours or of the service's, or a
/// place in the source's own notation.
pub(crate) fn start(time: Option<EpochMs>, position: Option<&str>) -> Option<StartPoint> {
    if let Some(EpochMs(at_ms)) = time {
        return Some(StartPoint::Time(at_ms.saturating_mul(1000)));
    }
    let position = position?;
    if let Some(at_us) = moment(position) {
        return Some(StartPoint::Time(at_us));
    }
    let given = match position.strip_prefix(RECOVERY_PREFIX) {
        Some(checkpoint) => of_the_service(checkpoint).unwrap_or_else(|| checkpoint.to_owned()),
        None => position.to_owned(),
    };
    Some(StartPoint::Given(given))
}

/// The place that a checkpoint of the service names, behind its prefix; `None` where it is not one of these:
///
/// ```text
/// 1#000004AF/B00000D0#0#0#*#0#0
/// 27#mysql-bin.157832:1975:-1:2002:677883278264080:mysql-bin.157832:1876#0#0#*#0#93
/// ```
///
/// What stands in it is known from samples. In a binary log the second file and offset are the beginning of the transaction at hand, which is the earlier place:
/// from there on nothing is missing, and what the service has applied of it comes again.
fn of_the_service(checkpoint: &str) -> Option<String> {
    let mut fields = checkpoint.split('#');
    let (kind, place) = (fields.next()?, fields.next()?);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(kind) || fields.count() < 2 {
        return None;
    }
    if let Some((high, low)) = place.split_once('/') {
        let half = |digits: &str| u32::from_str_radix(digits, 16).ok();
        return Some(format!("{:X}/{:X}", half(high)?, half(low)?));
    }
    let words: Vec<&str> = place.split(':').collect();
    let [_, at, _, end, _, file, begin] = words.as_slice() else {
        return None;
    };
    let are_offsets = [at, end, begin].into_iter().all(|word| is_number(word));
    (are_offsets && !file.is_empty()).then(|| format!("{file}:{begin}"))
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
        let position =
            whimbrel_core::Position::new("binlog.000002:157;u:1-5").recovery_checkpoint();
        assert_eq!(
            start(None, Some(&position)),
            given("binlog.000002:157;u:1-5")
        );
        for (checkpoint, place) in [
            ("1#000004AF/B00000D0#0#0#*#0#0", "4AF/B00000D0"),
            (
                "27#mysql-bin-changelog.157832:1975:-1:2002:677883278264080:mysql-bin-changelog.157832:1876#0#0#*#0#93",
                "mysql-bin-changelog.157832:1876",
            ),
        ] {
            let text = format!("{RECOVERY_PREFIX}{checkpoint}");
            assert_eq!(start(None, Some(&text)), given(place));
        }
        for other in [
            "27#binlog.000002:1#0#0",
            "x#1/2#0#0",
            "1#1/x#0#0",
            "1#4AF/D0",
        ] {
            let text = format!("{RECOVERY_PREFIX}{other}");
            assert_eq!(start(None, Some(&text)), given(other), "{other}");
        }
        for other in ["4AF/B00000D0", "binlog.000024:373", "0-1-100"] {
            assert_eq!(start(None, Some(other)), given(other));
        }
    }
}
