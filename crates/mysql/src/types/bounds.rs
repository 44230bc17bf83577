//! What columns hold, by their type in SQL.

use whimbrel_connector::{Bounds, Without};

/// Years of DATE and DATETIME, and those of TIMESTAMP that are there from beginning to end.
const YEARS: (i32, i32) = (0, 9999);
const TIMESTAMP_YEARS: (i32, i32) = (1970, 2037);

pub(crate) fn bounds(native: &str) -> Bounds {
    let native = native.to_ascii_lowercase();
    let (head, rest) = native.split_once('(').unwrap_or((&native, ""));
    let base = head.split(' ').next().unwrap_or_default();
    let mut arguments = rest.split(')').next().unwrap_or_default().split(',');
    let mut argument = || {
        arguments
            .next()
            .and_then(|text| text.trim().parse::<u32>().ok())
    };
    let is_unsigned = native.contains(" unsigned");
    let years = |years| Bounds {
        years: Some(years),
        without: Without {
            infinite: true,
            ..Without::default()
        },
        ..Bounds::default()
    };
    match base {
        "tinyint" => of_bits(8, is_unsigned),
        "smallint" => of_bits(16, is_unsigned),
        "mediumint" => of_bits(24, is_unsigned),
        "int" => of_bits(32, is_unsigned),
        "bigint" => of_bits(64, is_unsigned),
        "decimal" => of_digits(
            argument().unwrap_or(10),
            argument().unwrap_or(0),
            is_unsigned,
        ),
        "float" | "double" => Bounds {
            without: Without {
                infinite: true,
                ..Without::default()
            },
            ..Bounds::default()
        },
        "char" | "varchar" => Bounds {
            chars_max: argument().map(u64::from),
            ..Bounds::default()
        },
        "tinytext" | "tinyblob" => of_bytes(255),
        "text" | "blob" => of_bytes(65_535),
        "mediumtext" | "mediumblob" => of_bytes(16_777_215),
        "binary" | "varbinary" => {
            argument().map_or_else(Bounds::default, |most| of_bytes(most.into()))
        }
        "date" | "datetime" => years(YEARS),
        "timestamp" => years(TIMESTAMP_YEARS),
        _ => Bounds::default(),
    }
}

fn of_bytes(most: u64) -> Bounds {
    Bounds {
        bytes_max: Some(most),
        ..Bounds::default()
    }
}

fn of_bits(bits: u32, is_unsigned: bool) -> Bounds {
    let span = 1_i128 << bits;
    let (least, greatest) = if is_unsigned {
        (0, span - 1)
    } else {
        (-(span / 2), span / 2 - 1)
    };
    Bounds {
        numbers: Some((least.to_string(), greatest.to_string())),
        ..Bounds::default()
    }
}

fn of_digits(precision: u32, scale: u32, is_unsigned: bool) -> Bounds {
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
    let least = if is_unsigned {
        "0".to_owned()
    } else {
        format!("-{greatest}")
    };
    Bounds {
        numbers: Some((least, greatest)),
        scale_max: Some(scale),
        without: Without {
            infinite: true,
            ..Without::default()
        },
        ..Bounds::default()
    }
}

#[cfg(test)]
mod tests {
    use super::bounds;

    #[test]
    fn bounds_are_read_from_types() {
        let numbers = |native| bounds(native).numbers.unwrap();
        assert_eq!(
            numbers("int(10) unsigned"),
            ("0".to_owned(), "4294967295".to_owned())
        );
        assert_eq!(numbers("tinyint(1)").0, "-128");
        assert_eq!(numbers("decimal(5,2)").1, "999.99");
        assert_eq!(numbers("bigint").1, "9223372036854775807");
        assert_eq!(
            bounds("varchar(7) CHARACTER SET utf8mb4").chars_max,
            Some(7)
        );
        assert_eq!(
            bounds("tinytext CHARACTER SET utf8mb4").bytes_max,
            Some(255)
        );
        assert_eq!(bounds("timestamp(3)").years, Some((1970, 2037)));
        assert!(bounds("longtext").is_none());
        assert!(bounds("enum('a(1','b')").is_none());
    }
}
