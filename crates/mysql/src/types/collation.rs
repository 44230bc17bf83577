//! Collations of one flavour in the words of the other.

use whimbrel_core::Engine;

/// The collation itself if `target` knows it, else the nearest that it has.
///
/// MySQL has the `0900` collations of its own, MariaDB the `uca1400` and `nopad` ones; the others they share.
pub(super) fn nearest(collation: &str, target: Engine) -> Option<&'static str> {
    let lower = collation.to_ascii_lowercase();
    let charset = lower.split('_').next().unwrap_or_default();
    match target {
        Engine::MariaDb if lower.contains("_0900_") => Some(if lower.ends_with("_bin") {
            "utf8mb4_nopad_bin"
        } else if lower.ends_with("_as_cs") || lower.ends_with("_as_cs_ks") {
            "utf8mb4_uca1400_nopad_as_cs"
        } else if lower.ends_with("_as_ci") {
            "utf8mb4_uca1400_nopad_as_ci"
        } else {
            "utf8mb4_uca1400_nopad_ai_ci"
        }),
        Engine::MySql if lower.contains("uca1400") || lower.contains("nopad") => {
            let is_binary = lower.ends_with("_bin");
            let is_exact = lower.ends_with("_as_cs");
            match charset {
                "utf8mb4" if is_binary => Some("utf8mb4_0900_bin"),
                "utf8mb4" if is_exact => Some("utf8mb4_0900_as_cs"),
                "utf8mb4" if lower.ends_with("_as_ci") => Some("utf8mb4_0900_as_ci"),
                "utf8mb4" => Some("utf8mb4_0900_ai_ci"),
                "utf8mb3" | "utf8" if is_binary || is_exact => Some("utf8mb3_bin"),
                "utf8mb3" | "utf8" => Some("utf8mb3_unicode_520_ci"),
                "latin1" if is_binary => Some("latin1_bin"),
                "latin1" => Some("latin1_swedish_ci"),
                "ascii" if is_binary => Some("ascii_bin"),
                "ascii" => Some("ascii_general_ci"),
                "ucs2" => Some(if is_binary || is_exact {
                    "ucs2_bin"
                } else {
                    "ucs2_unicode_520_ci"
                }),
                "utf16" => Some(if is_binary || is_exact {
                    "utf16_bin"
                } else {
                    "utf16_unicode_520_ci"
                }),
                "utf32" => Some(if is_binary || is_exact {
                    "utf32_bin"
                } else {
                    "utf32_unicode_520_ci"
                }),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The collation that compares texts as other engines do: by their characters alone, trailing spaces included.
pub(super) fn exact(target: Engine) -> &'static str {
    match target {
        Engine::MariaDb => "utf8mb4_nopad_bin",
        Engine::MySql | Engine::Postgres => "utf8mb4_0900_bin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_collations_that_the_other_lacks_are_replaced() {
        let to_maria = |name| nearest(name, Engine::MariaDb);
        assert_eq!(
            to_maria("utf8mb4_0900_ai_ci"),
            Some("utf8mb4_uca1400_nopad_ai_ci")
        );
        assert_eq!(
            to_maria("utf8mb4_de_pb_0900_as_cs"),
            Some("utf8mb4_uca1400_nopad_as_cs")
        );
        assert_eq!(to_maria("utf8mb4_general_ci"), None);
        let to_mysql = |name| nearest(name, Engine::MySql);
        assert_eq!(
            to_mysql("utf8mb4_uca1400_ai_ci"),
            Some("utf8mb4_0900_ai_ci")
        );
        assert_eq!(to_mysql("utf8mb4_nopad_bin"), Some("utf8mb4_0900_bin"));
        assert_eq!(
            to_mysql("latin1_swedish_nopad_ci"),
            Some("latin1_swedish_ci")
        );
        assert_eq!(to_mysql("latin1_german2_ci"), None);
    }
}
