//! What is to be different at the target: the same for a migration and for a comparison behind it.

use clap::{Args, ValueEnum};
use whimbrel_engine::{OnCut, Shaping, UnboundedNumbers};

use crate::format;

/// Values arrive exactly as they are unless one of these is given.
#[derive(Clone, Debug, Args)]
pub(crate) struct ShapeArgs {
    /// Cuts texts and byte strings of large types to so many bytes, such as 32KiB; keys and JSON stay whole
    #[arg(long, value_name = "SIZE", value_parser = lob_bytes, help_heading = "Values")]
    pub(crate) lob_max_size: Option<usize>,
    /// Booleans of PostgreSQL become the texts true and false
    #[arg(long, help_heading = "Values")]
    pub(crate) booleans_as_text: bool,
    /// What becomes of PostgreSQL's numeric without a precision
    #[arg(
        long,
        value_name = "MODE",
        default_value = "exact",
        help_heading = "Values"
    )]
    pub(crate) unbounded_numbers: Numbers,
}

/// What becomes of numbers of any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Numbers {
    /// They arrive as they are
    Exact,
    /// Text with all their digits
    Text,
    /// Rounded to numeric(28,6)
    Rounded,
}

fn lob_bytes(text: &str) -> Result<usize, String> {
    let bytes = format::parse_bytes(text)?;
    match usize::try_from(bytes) {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("a value keeps at least one byte".to_owned()),
    }
}

impl ShapeArgs {
    pub(crate) fn shaping(&self) -> Shaping {
        Shaping {
            lob_bytes_max: self.lob_max_size,
            on_cut: OnCut::Cut,
            booleans_as_text: self.booleans_as_text,
            unbounded_numbers: match self.unbounded_numbers {
                Numbers::Exact => UnboundedNumbers::Exact,
                Numbers::Text => UnboundedNumbers::AsText,
                Numbers::Rounded => UnboundedNumbers::Rounded,
            },
        }
    }
}
