use crate::TableName;

/// The number that a source gives next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextNumber {
    /// This one, when it was described.
    Known(i64),
    /// None was ever given.
    None,
    /// None: they are used up, and this one was the last.
    UsedUp(i64),
    /// The source's user may not ask.
    Hidden,
}

impl NextNumber {
    /// The number, where it is known.
    pub fn known(self) -> Option<i64> {
        match self {
            Self::Known(next) => Some(next),
            Self::None | Self::UsedUp(_) | Self::Hidden => None,
        }
    }

    /// What a user should know of a column that goes on with it.
    pub fn note(self) -> Option<String> {
        (self == Self::Hidden).then(|| {
            "the source's user may not read the number that comes next, so numbers go on behind the largest in the column; to go on where the source is, \
             grant SELECT on its sequence there and make the objects again"
                .to_owned()
        })
    }
}

/// How the source numbers a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CounterForm {
    /// `GENERATED … AS IDENTITY`.
    Identity {
        /// Whether rows cannot bring a number of their own.
        is_always: bool,
    },
    /// A sequence that belongs to the column is its default (`serial`).
    Serial {
        /// The sequence.
        sequence: TableName,
    },
    /// `AUTO_INCREMENT`.
    AutoIncrement,
}

/// A column that the server numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The column.
    pub column: String,
    /// How.
    pub form: CounterForm,
    /// The number that comes next.
    pub next: NextNumber,
    /// Between one number and the next.
    pub increment: i64,
    /// What a sequence of its kind is made with, in the SQL of the source's engine.
    pub options: Option<String>,
}

/// A sequence that is no column's counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Schema and name.
    pub name: TableName,
    /// The table and column with which it goes, where it goes with one.
    pub owner: Option<(TableName, String)>,
    /// The number that comes next.
    pub next: NextNumber,
    /// Between one number and the next.
    pub increment: i64,
    /// The smallest number.
    pub min: i64,
    /// The largest number.
    pub max: i64,
    /// The first number.
    pub start: i64,
    /// Numbers that a session takes at once.
    pub cache: i64,
    /// Whether it begins again at its end.
    pub cycles: bool,
}
