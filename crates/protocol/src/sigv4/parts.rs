//! The parts of a signature, from the `Authorization` header or from the query of a presigned URL.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use percent_encoding::percent_decode_str;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use whimbrel_model::{Fault, FaultCode};

use super::{ALGORITHM, Signed, point_in_time, refuse};

const TIME_FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");
/// A presigned URL holds for seven days at most.
const VALID_MAX: Duration = Duration::from_hours(7 * 24);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) access_key_id: String,
    pub(super) date: String,
    pub(super) region: String,
    pub(super) service: String,
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: String,
    /// `X-Amz-Date` as given.
    pub(super) time: String,
    pub(super) signed_at: SystemTime,
    /// For a presigned URL, how long it holds.
    pub(super) valid_for: Option<Duration>,
    pub(super) has_session_token: bool,
    pub(super) is_presigned: bool,
}

fn incomplete(what: impl Into<String>) -> Fault {
    refuse(FaultCode::IncompleteSignature, what)
}

impl Parts {
    pub(super) fn of(signed: &Signed<'_>) -> Result<Self, Fault> {
        let mut headers = signed.headers.get_all(http::header::AUTHORIZATION).iter();
        match (headers.next(), headers.next()) {
            (Some(header), None) => {
                let header = header
                    .to_str()
                    .map_err(|_| incomplete("The Authorization header is not text."))?;
                Self::of_header(header, signed)
            }
            (Some(_), Some(_)) => Err(incomplete("There are two Authorization headers.")),
            (None, _) => Self::of_query(signed),
        }
    }

    fn of_header(header: &str, signed: &Signed<'_>) -> Result<Self, Fault> {
        let (algorithm, rest) = header.split_once(' ').unwrap_or((header, ""));
        if algorithm != ALGORITHM {
            return Err(incomplete(format!(
                "Unsupported AWS 'algorithm': only {ALGORITHM} is accepted."
            )));
        }
        let mut given = HashMap::new();
        for part in rest.split(',') {
            let (name, value) = part.trim().split_once('=').unwrap_or((part.trim(), ""));
            if given.insert(name, value).is_some() {
                return Err(incomplete(format!(
                    "Authorization header has '{name}' twice."
                )));
            }
        }
        let part = |name: &str| {
            let value = given.get(name).copied().filter(|value| !value.is_empty());
            value.ok_or_else(|| {
                incomplete(format!("Authorization header requires '{name}' parameter."))
            })
        };
        let time = signed
            .headers
            .get("x-amz-date")
            .and_then(|value| value.to_str().ok());
        let time = time.ok_or_else(|| {
            incomplete("Authorization header requires existence of a 'X-Amz-Date' header.")
        })?;
        let mut parts = Self::new(
            part("Credential")?,
            part("SignedHeaders")?,
            part("Signature")?,
            time,
        )?;
        parts.has_session_token = signed.headers.contains_key("x-amz-security-token");
        Ok(parts)
    }

    fn of_query(signed: &Signed<'_>) -> Result<Self, Fault> {
        let mut given = HashMap::new();
        for pair in signed.uri.query().unwrap_or("").split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            if given.insert(name, value).is_some() && name.starts_with("X-Amz-") {
                return Err(incomplete(format!("The query has '{name}' twice.")));
            }
        }
        if !given.contains_key("X-Amz-Signature") {
            return Err(refuse(
                FaultCode::MissingAuthenticationToken,
                "Missing Authentication Token",
            ));
        }
        let part = |name: &str| {
            given
                .get(name)
                .map(String::as_str)
                .ok_or_else(|| incomplete(format!("The query requires '{name}'.")))
        };
        if part("X-Amz-Algorithm")? != ALGORITHM {
            return Err(incomplete(format!(
                "Unsupported AWS 'algorithm': only {ALGORITHM} is accepted."
            )));
        }
        let mut parts = Self::new(
            part("X-Amz-Credential")?,
            part("X-Amz-SignedHeaders")?,
            part("X-Amz-Signature")?,
            part("X-Amz-Date")?,
        )?;
        let valid_for = part("X-Amz-Expires")?.parse().map(Duration::from_secs);
        let valid_for = valid_for.ok().filter(|&valid| valid <= VALID_MAX);
        parts.valid_for = Some(
            valid_for.ok_or_else(|| incomplete("X-Amz-Expires must be 0 to 604800 seconds."))?,
        );
        parts.has_session_token = given.contains_key("X-Amz-Security-Token");
        parts.is_presigned = true;
        Ok(parts)
    }

    fn new(
        credential: &str,
        signed_headers: &str,
        signature: &str,
        time: &str,
    ) -> Result<Self, Fault> {
        let mut scope = credential.rsplitn(5, '/');
        let (terminator, service, region, date, access_key_id) = (
            scope.next(),
            scope.next(),
            scope.next(),
            scope.next(),
            scope.next(),
        );
        let (Some("aws4_request"), Some(service), Some(region), Some(date), Some(access_key_id)) =
            (terminator, service, region, date, access_key_id)
        else {
            return Err(incomplete(
                "Credential must have exactly 5 slash-delimited elements: keyid/date/region/service/aws4_request.",
            ));
        };
        let signed_at = parse_time(time).ok_or_else(|| {
            incomplete("The date must be in ISO-8601 'basic format': YYYYMMDDTHHMMSSZ.")
        })?;
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: signed_headers.split(';').map(str::to_owned).collect(),
            signature: signature.to_owned(),
            time: time.to_owned(),
            signed_at,
            valid_for: None,
            has_session_token: false,
            is_presigned: false,
        })
    }
}

fn parse_time(text: &str) -> Option<SystemTime> {
    let parsed = PrimitiveDateTime::parse(text, TIME_FORMAT).ok()?;
    u64::try_from(parsed.assume_utc().unix_timestamp())
        .ok()
        .map(point_in_time)
}

/// A point in time as signatures write it.
pub(super) fn format_time(at: SystemTime) -> String {
    time::OffsetDateTime::from(at)
        .format(TIME_FORMAT)
        .unwrap_or_default()
}
