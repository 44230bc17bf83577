//! What columns hold, by their type as `format_type` prints it.

use whimbrel_connector::{Bounds, Without};

pub(crate) fn bounds(native: &str) -> Bounds {
    if native.contains("[]") {
        return Bounds::default();
    }
    let (base, rest) = native.split_once('(').unwrap_or((native, ""));
    let mut arguments = rest.split(')').next().unwrap_or_default().split(',');
    let mut argument = || {
        arguments
            .next()
            .and_then(|text| text.trim().parse::<u32>().ok())
    };
    let nul = Without {
        nul: true,
        ..Without::default()
    };
    let numbers = |least: &str, greatest: &str| Bounds {
        numbers: Some((least.to_owned(), greatest.to_owned())),
        ..Bounds::default()
    };
    match base.split(' ').next().unwrap_or_default() {
        "smallint" => numbers("-32768", "32767"),
        "integer" => numbers("-2147483648", "2147483647"),
        "bigint" => numbers("-9223372036854775808", "9223372036854775807"),
        "oid" => numbers("0", "4294967295"),
        "numeric" => match (argument(), argument()) {
            (Some(precision), scale) => of_digits(precision, scale.unwrap_or(0)),
            (None, _) => Bounds::default(),
        },
        "character" | "varchar" | "bpchar" => Bounds {
            chars_max: argument().map(u64::from),
            without: nul,
            ..Bounds::default()
        },
        // The dates of other engines are within.
        "text" | "date" | "timestamp" => Bounds {
            without: nul,
            ..Bounds::default()
        },
        "time" => Bounds {
            without: Without {
                durations: true,
                ..Without::default()
            },
            ..Bounds::default()
        },
        _ => Bounds::default(),
    }
}

fn of_digits(precision: u32, scale: u32) -> Bounds {
    let digits = |count: u32| "9".repeat(usize::try_from(count).unwrap_or(0));
    let whole = match precision.saturating_sub(scale) {
        0 => "0".to_owned(),
        count => digits(count),
    };
    let greatest = if scale == 0 {
        whole
    } else {
        format!("{whole}.{}", digits(scale))
    };
    Bounds {
        numbers: Some((format!("-{greatest}"), greatest)),
        scale_max: Some(scale),
        ..Bounds::default()
    }
}

#[cfg(test)]
mod tests {
    use super::bounds;

    #[test]
    fn bounds_are_read_from_types() {
        let numbers = |native| bounds(native).numbers.unwrap();
        assert_eq!(numbers("integer").1, "2147483647");
        assert_eq!(
            numbers("numeric(5,2)"),
            ("-999.99".to_owned(), "999.99".to_owned())
        );
        assert_eq!(bounds("numeric(5,2)").scale_max, Some(2));
        assert_eq!(bounds("character varying(7)").chars_max, Some(7));
        assert!(bounds("text").without.nul);
        assert!(bounds("time(3) without time zone").without.durations);
        assert!(bounds("numeric").is_none());
        assert!(bounds("integer[]").is_none());
        assert!(bounds("public.mood").is_none());
    }
}
