//! `whimbrel forget`.

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
    forget_cdc(&source, &target, &selection.task).await?;
    print("forgotten: neither end keeps anything for this migration\n");
    Ok(Exit::Done)
}
