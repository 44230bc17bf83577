use serde::{Deserialize, Serialize, Serializer};

/// A moment in seconds since 1970. On the wire a number: whole seconds without a fraction, others with milliseconds at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(f64);

impl Timestamp {
    /// The moment so many milliseconds after the begin of 1970.
    #[allow(
        clippy::cast_precision_loss,
        reason = "exact for some 285 thousand years"
    )]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis as f64 / 1000.0)
    }

    /// Milliseconds since the begin of 1970, rounded.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "saturates, and no time of any use is out of range"
    )]
    pub fn millis(self) -> i64 {
        (self.0 * 1000.0).round() as i64
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.millis();
        if millis % 1000 == 0 {
            serializer.serialize_i64(millis / 1000)
        } else {
            Self::from_millis(millis).0.serialize(serializer)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn moments_are_numbers_of_seconds_with_a_fraction_only_where_there_is_one() {
        for (millis, wire) in [
            (0, json!(0)),
            (1_480_000_000_000, json!(1_480_000_000)),
            (1_480_000_000_120, json!(1_480_000_000.12)),
            (-1_500, json!(-1.5)),
        ] {
            let moment = Timestamp::from_millis(millis);
            assert_eq!(serde_json::to_value(moment).unwrap(), wire);
            assert_eq!(
                serde_json::from_value::<Timestamp>(wire).unwrap().millis(),
                millis
            );
        }
    }
}
