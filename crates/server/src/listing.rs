//! What all Describe operations share: filters and pages.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use whimbrel_store::{NameToken, PageToken, Stored};

use crate::fault::{Fault, invalid_value};

/// Filters by identifiers that are kept in lower case, and found in any.
const KEPT_IN_LOWER_CASE: [&str; 3] = [
    "engine-name",
    "replication-instance-id",
    "replication-subnet-group-id",
];

/// The filters of a request: all of them must match, each by any of its values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters(Vec<(&'static str, Vec<String>)>);

impl Filters {
    /// Checks the names against those that the operation knows.
    pub(crate) fn parse(
        given: impl IntoIterator<Item = (String, Vec<String>)>,
        known: &[&'static str],
    ) -> Result<Self, Fault> {
        let mut filters: Vec<(&str, Vec<String>)> = Vec::new();
        for (name, values) in given {
            let Some(&name) = known.iter().find(|known| **known == name) else {
                return Err(invalid_value(format!(
                    "The filter {name} is not valid. Valid filter names: {}",
                    known.join(", ")
                )));
            };
            if values.is_empty() {
                return Err(invalid_value(format!("The filter {name} has no values.")));
            }
            let values: Vec<String> = if KEPT_IN_LOWER_CASE.contains(&name) {
                values.iter().map(|id| id.to_ascii_lowercase()).collect()
            } else {
                values
            };
            match filters.iter_mut().find(|(given, _)| *given == name) {
                // An item has to match each of them.
                Some((_, given)) => given.retain(|value| values.contains(value)),
                None => filters.push((name, values)),
            }
        }
        Ok(Self(filters))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an item matches. `values_of` names the values that the item has under a filter; one match is enough.
    pub(crate) fn match_item<'a>(&self, values_of: impl Fn(&str) -> Vec<&'a str>) -> bool {
        self.0.iter().all(|(name, wanted)| {
            let values = values_of(name);
            wanted
                .iter()
                .any(|wanted| values.contains(&wanted.as_str()))
        })
    }

    /// The values of one filter, if it was given.
    pub(crate) fn values(&self, name: &str) -> Option<&[String]> {
        self.0
            .iter()
            .find(|(found, _)| *found == name)
            .map(|(_, values)| values.as_slice())
    }
}

/// Which part of a list a request asks for.
#[derive(Clone, Debug)]
pub(crate) struct PageRequest {
    after_seq: i64,
    limit: usize,
    scope: Cow<'static, str>,
}

/// The bounds of most operations.
pub(crate) const USUAL_PAGE: RangeInclusive<i32> = 20..=100;
const DEFAULT_LIMIT: i32 = 100;

impl PageRequest {
    /// `scope` names the list, so that a marker of another list is refused.
    pub(crate) fn parse(
        scope: impl Into<Cow<'static, str>>,
        max_records: Option<i32>,
        marker: Option<&str>,
        bounds: RangeInclusive<i32>,
    ) -> Result<Self, Fault> {
        Self::parse_with_default(scope, max_records, marker, bounds, DEFAULT_LIMIT)
    }

    pub(crate) fn parse_with_default(
        scope: impl Into<Cow<'static, str>>,
        max_records: Option<i32>,
        marker: Option<&str>,
        bounds: RangeInclusive<i32>,
        default: i32,
    ) -> Result<Self, Fault> {
        let scope = scope.into();
        let limit = limit(max_records, bounds, default)?;
        let after_seq = match marker {
            None | Some("") => 0,
            Some(marker) => {
                let token = PageToken::decode(&scope, marker);
                token.map_err(|_| invalid_marker())?.after_seq
            }
        };
        Ok(Self {
            after_seq,
            limit,
            scope,
        })
    }

    /// Cuts the page out of the whole list, in the order of `seq`; the marker is there when more follows.
    pub(crate) fn cut<T>(&self, items: Vec<Stored<T>>) -> (Vec<T>, Option<String>) {
        let items = items
            .into_iter()
            .map(|item| (item.seq, item.value))
            .collect();
        self.cut_numbered(items)
    }

    /// As [`cut`](Self::cut), for items that are not in the store: each with a number that stays its own and grows along the list.
    pub(crate) fn cut_numbered<T>(&self, items: Vec<(i64, T)>) -> (Vec<T>, Option<String>) {
        let mut rest = items
            .into_iter()
            .filter(|(seq, _)| *seq > self.after_seq)
            .peekable();
        let page: Vec<(i64, T)> = rest.by_ref().take(self.limit).collect();
        let marker = match (rest.peek(), page.last()) {
            (Some(_), Some((seq, _))) => Some(PageToken { after_seq: *seq }.encode(&self.scope)),
            _ => None,
        };
        (page.into_iter().map(|(_, item)| item).collect(), marker)
    }

    /// Cuts a page out of a fixed list, numbered by place.
    pub(crate) fn cut_fixed<T>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> (Vec<T>, Option<String>) {
        self.cut_numbered((1..).zip(items).collect())
    }
}

fn limit(
    max_records: Option<i32>,
    bounds: RangeInclusive<i32>,
    default: i32,
) -> Result<usize, Fault> {
    let limit = max_records.unwrap_or(default);
    if max_records.is_some() && !bounds.contains(&limit) {
        return Err(invalid_value(format!(
            "Invalid value {limit} for MaxRecords. Must be between {} and {}",
            bounds.start(),
            bounds.end()
        )));
    }
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn invalid_marker() -> Fault {
    invalid_value("Invalid Marker. Use the Marker of the previous page of the same list.")
}

/// Which part of a list of names a request asks for. Names come and go as a whole, so a page starts behind the last name seen, whether
/// that is still there or not.
#[derive(Clone, Debug)]
pub(crate) struct NamePageRequest {
    after: Option<String>,
    limit: usize,
    scope: String,
}

impl NamePageRequest {
    /// `scope` names the list, so that a marker of another list is refused.
    pub(crate) fn parse(
        scope: String,
        max_records: Option<i32>,
        marker: Option<&str>,
    ) -> Result<Self, Fault> {
        let after = match marker {
            None | Some("") => None,
            Some(marker) => {
                let token = NameToken::decode(&scope, marker);
                Some(token.map_err(|_| invalid_marker())?.after_name)
            }
        };
        Ok(Self {
            after,
            limit: limit(max_records, USUAL_PAGE, DEFAULT_LIMIT)?,
            scope,
        })
    }

    /// Cuts the page out of all names, in their order by bytes.
    pub(crate) fn cut(&self, mut names: Vec<String>) -> (Vec<String>, Option<String>) {
        names.sort_unstable();
        names.dedup();
        let is_behind = |name: &String| self.after.as_ref().is_none_or(|after| name > after);
        let mut rest = names.into_iter().filter(is_behind).peekable();
        let page: Vec<String> = rest.by_ref().take(self.limit).collect();
        let marker = match (rest.peek(), page.last()) {
            (Some(_), Some(last)) => Some(
                NameToken {
                    after_name: last.clone(),
                }
                .encode(&self.scope),
            ),
            _ => None,
        };
        (page, marker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(given: &[(&str, &[&str])]) -> Result<Filters, Fault> {
        let owned = given.iter().map(|(name, values)| {
            (
                (*name).to_owned(),
                values.iter().map(|&value| value.to_owned()).collect(),
            )
        });
        Filters::parse(owned, &["colour", "size"])
    }

    #[test]
    fn filters_match_any_value_of_all_names() {
        let both = filters(&[("colour", &["red", "blue"]), ("size", &["big"])]).unwrap();
        let item = |colour: &'static str, size: &'static str| {
            move |name: &str| {
                if name == "colour" {
                    vec![colour]
                } else {
                    vec![size]
                }
            }
        };
        assert!(both.match_item(item("blue", "big")));
        assert!(!both.match_item(item("green", "big")));
        assert!(!both.match_item(item("red", "small")));
        assert!(filters(&[]).unwrap().match_item(item("x", "y")));
    }

    #[test]
    fn unknown_and_empty_filters_are_refused() {
        assert!(filters(&[("taste", &["sweet"])]).is_err());
        assert!(filters(&[("colour", &[])]).is_err());
    }

    #[test]
    fn the_last_page_has_no_marker() {
        let request = PageRequest::parse("x", Some(20), None, USUAL_PAGE).unwrap();
        let (page, marker) = request.cut_fixed(1..=20);
        assert_eq!((page.len(), marker), (20, None));
        let (page, marker) = request.cut_fixed(1..=21);
        assert_eq!(page.len(), 20);
        let next = PageRequest::parse("x", Some(20), marker.as_deref(), USUAL_PAGE).unwrap();
        assert_eq!(next.cut_fixed(1..=21), (vec![21], None));
        assert!(PageRequest::parse("y", None, marker.as_deref(), USUAL_PAGE).is_err());
    }

    #[test]
    fn pages_have_bounds() {
        for (max_records, is_ok) in [
            (None, true),
            (Some(20), true),
            (Some(100), true),
            (Some(19), false),
            (Some(101), false),
        ] {
            assert_eq!(
                PageRequest::parse("x", max_records, Some(""), USUAL_PAGE).is_ok(),
                is_ok,
                "{max_records:?}"
            );
        }
    }
}
