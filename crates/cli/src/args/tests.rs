use clap::CommandFactory as _;

use super::*;

const ENDS: [&str; 2] = ["postgres://me:canary@h/a", "mysql://me@h/b"];

fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from([&["whimbrel"], words].concat())
}

fn migrate(options: &[&str]) -> MigrateArgs {
    match parse(&[&["migrate"], &ENDS[..], options].concat())
        .unwrap()
        .command
    {
        Command::Migrate(args) => *args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn a_migration_without_options_has_the_defaults() {
    let args = migrate(&[]);
    assert_eq!(args.prepare, Prepare::DropAndCreate);
    assert_eq!(args.chunk_size, 128 << 20);
    assert_eq!(args.progress, ProgressMode::Auto);
    assert!((2..=8).contains(&args.job_count()));
    assert!(args.tables.tables.is_empty() && args.tables.exclude.is_empty());
    assert!(!(args.no_keys || args.dry_run || args.resume || args.json || args.stop_on_error));
}

#[test]
fn every_option_of_a_migration_is_understood() {
    let args = migrate(&[
        "--tables",
        "a.%,b.c",
        "--tables",
        "d.e",
        "--exclude",
        "a.x",
        "--rename-schema",
        "a=b",
        "--prepare",
        "truncate",
        "--jobs",
        "3",
        "--no-keys",
        "--shared-target-tables",
        "--resume",
        "--json",
        "--chunk-size",
        "1MiB",
        "--stop-on-error",
        "--progress",
        "lines",
        "--source-password-file",
        "/s",
        "--target-password-file",
        "/t",
    ]);
    assert_eq!(args.tables.tables, ["a.%", "b.c", "d.e"]);
    assert_eq!(args.tables.exclude, ["a.x"]);
    assert_eq!(args.tables.rename_schema, ["a=b"]);
    assert_eq!((args.prepare, args.job_count()), (Prepare::Truncate, 3));
    assert_eq!(
        (args.chunk_size, args.progress),
        (1 << 20, ProgressMode::Lines)
    );
    assert!(args.shared_target_tables);
    assert!(args.no_keys && args.resume && args.json && args.stop_on_error);
}

#[test]
fn options_that_exclude_each_other_or_their_bounds_are_refused() {
    for options in [
        &["--dry-run", "--resume"][..],
        &["--rename-schema", "a=b", "--target-schema", "c"],
        &["--jobs", "0"],
        &["--jobs", "50"],
        &["--chunk-size", "1KiB"],
        &["--chunk-size", "many"],
        &["--prepare", "drop"],
    ] {
        let words = [&["migrate"], &ENDS[..], options].concat();
        let error = parse(&words).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{options:?}");
        assert!(!error.render().to_string().contains("canary"));
    }
}

#[test]
fn parsed_arguments_do_not_print_passwords() {
    let text = format!("{:?}", parse(&[&["migrate"], &ENDS[..]].concat()).unwrap());
    assert!(
        text.contains("postgres://***@h/a") && !text.contains("canary"),
        "{text}"
    );
}

#[test]
fn the_help_of_each_command_has_examples() {
    for command in Cli::command().get_subcommands_mut() {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Examples:"), "{}", command.get_name());
    }
}
