//! What is printed when the command line cannot be understood.
//!
//! The parser repeats the argument that it did not expect, which may be a URL with its password.

use crate::address::redact;

/// The parser's message, without passwords.
pub(crate) fn explain(error: &clap::Error, arguments: &[String]) -> String {
    let mut text = error.render().to_string();
    for argument in arguments {
        let values = [
            Some(argument.as_str()),
            argument.split_once('=').map(|(_, value)| value),
        ];
        for value in values.into_iter().flatten() {
            if value.contains("://") {
                text = text.replace(value, &redact(value));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn refused_arguments_do_not_show_passwords() {
        let secret = "postgres://me:can ary'\"@host/db";
        for words in [
            vec!["migrate", "a://h", "b://h", secret],
            vec![secret],
            vec!["check", secret, "--nonsense"],
            vec!["check", "a://h", "--json=postgres://me:can ary'\"@host/db"],
        ] {
            let mut arguments = vec!["whimbrel".to_owned()];
            arguments.extend(words.iter().map(ToString::to_string));
            let error = Cli::try_parse_from(&arguments).unwrap_err();
            let text = explain(&error, &arguments);
            assert!(!text.contains("can ary"), "{text}");
        }
    }
}
