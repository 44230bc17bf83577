//! `whimbrel forget`.

use whimbrel_connector::{Connector, KeyNotRestored};
use whimbrel_core::objects::ObjectKind;
use whimbrel_engine::forget_cdc;

use crate::address::{Address, End};
use crate::args::ForgetArgs;
use crate::endpoint::connector;
use crate::failure::{Exit, Failure};
use crate::output::print;
use crate::selection::Selection;

/// Runs the command.
pub(crate) async fn run(args: &ForgetArgs) -> Result<Exit, Failure> {
    let passwords = &args.passwords;
    let source_file = passwords.source_password_file.as_deref();
    let target_file = passwords.target_password_file.as_deref();
    let source_address = Address::resolve(&args.source_url, End::Source, source_file)?;
    let target_address = Address::resolve(&args.target_url, End::Target, target_file)?;
    let selection = Selection::of(&args.tables, &source_address, &target_address)?;
    let source = connector(&source_address)?;
    let target = connector(&target_address)?;
    let task = args.task.as_ref().unwrap_or(&selection.task);
    let forgotten = forget_cdc(&source, &target, task).await?;
    let refused = forgotten.not_restored;
    if refused.is_empty() && forgotten.was_known {
        print("forgotten: neither end keeps anything for this migration\n");
        return Ok(Exit::Done);
    }
    if refused.is_empty() {
        tell_unknown(&*source, task).await;
        return Ok(Exit::Done);
    }
    for key in &refused {
        print(&format!(
            "not restored: {} {}: {}\n",
            key.kind.singular(),
            key.name,
            key.reason
        ));
    }
    let count = refused.len();
    let is_key = |key: &KeyNotRestored| key.kind == ObjectKind::ForeignKey;
    let what = match (refused.iter().all(is_key), count) {
        (true, 1) => "foreign key",
        (true, _) => "foreign keys",
        (false, 1) => "object",
        (false, _) => "objects",
    };
    Err(Failure::new(
        Exit::Incomplete,
        format!("the migration is forgotten, but {count} {what} that it put aside at the target could not be made whole again"),
    )
    .with_help(
        "mend the rows, or what is missing, and run whimbrel forget once more: foreign keys stay noted in awsdms_control.awsdms_kept_key, and other objects in \
         awsdms_control.awsdms_kept_object, until they are whole",
    ))
}

/// The name comes from the URLs and tables, so that a migration with others is still there.
async fn tell_unknown(source: &dyn Connector, task: &str) {
    print(&format!(
        "the target knows no migration named {task}; the source keeps nothing for it, if it did\n  \
         help: if another was to be forgotten, give the URLs and tables that it had, or its name with --task\n"
    ));
    match source.unread_logs().await {
        Ok(unread_logs) => {
            for unread in unread_logs {
                print(&format!(
                    "warning: {}\n  help: {}\n",
                    unread.message, unread.remedy
                ));
            }
        }
        Err(error) => print(&format!(
            "warning: the source does not tell for whom it keeps its log: {error}\n"
        )),
    }
}
