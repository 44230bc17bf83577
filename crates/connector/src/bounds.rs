//! What columns of a target hold, and values of a source that lie beyond.

/// What a column of a target holds, where that may be less than what a column of a source does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The longest text, in characters.
    pub chars_max: Option<u64>,
    /// The longest text or byte string, in bytes; of texts, in UTF-8.
    pub bytes_max: Option<u64>,
    /// The least and the greatest number, as decimals.
    pub numbers: Option<(String, String)>,
    /// The most digits behind the point.
    pub scale_max: Option<u32>,
    /// The first and the last year of dates and times; the year before 1 is 0.
    pub years: Option<(i32, i32)>,
    /// What it does not hold, of kinds of values that have it.
    pub without: Without,
}

/// Values that a column does not hold though others of their kind fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// Infinities and NaN.
    pub infinite: bool,
    /// The character NUL, and dates that are none (`0000-00-00`).
    pub nul: bool,
    /// Times outside of a day.
    pub durations: bool,
}

impl Bounds {
    /// Whether it says nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A column of a source, and what the column holds that its values go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Its name at the source.
    pub column: String,
    /// What its values have to fit.
    pub bounds: Bounds,
}

/// Values of a column that do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The column's name at the source.
    pub column: String,
    /// How they lie beyond: `texts of more than 10 characters`.
    pub what: String,
    /// How many rows there are.
    pub row_count: u64,
    /// The longest, the least and the greatest; empty where there is no such thing.
    pub extreme: String,
    /// The key of one of the rows, if the table has one.
    pub key: Option<String>,
}

/// A question that a source can ask its server about a column: conditions and extremes as SQL of its engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The column's name at the source.
    pub column: String,
    /// As [`Misfit::what`].
    pub what: String,
    /// True for values that do not fit, and never for NULL.
    pub condition: String,
    /// An aggregate that gives a text.
    pub extreme: Option<String>,
}

/// How many cells an answer has for each probe.
pub const PROBE_CELLS: usize = 3;

impl Probe {
    /// What the server answered: the count of rows, the extreme, the key of one of them. `None`: all fit.
    pub fn misfit(self, cells: [Option<&str>; PROBE_CELLS]) -> Option<Misfit> {
        let [count, extreme, key] = cells;
        let row_count: u64 = count?.parse().ok()?;
        (row_count > 0).then(|| Misfit {
            column: self.column,
            what: self.what,
            row_count,
            extreme: extreme.unwrap_or_default().to_owned(),
            key: key.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_counts_nothing_finds_nothing() {
        let probe = || Probe {
            column: "c".to_owned(),
            what: "w".to_owned(),
            condition: String::new(),
            extreme: None,
        };
        assert_eq!(probe().misfit([Some("0"), Some("9"), None]), None);
        assert_eq!(probe().misfit([None, None, None]), None);
        let found = probe().misfit([Some("2"), Some("9"), Some("1")]).unwrap();
        assert_eq!((found.row_count, found.extreme.as_str()), (2, "9"));
        assert_eq!(found.key.as_deref(), Some("1"));
    }
}
