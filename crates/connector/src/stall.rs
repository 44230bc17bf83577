//! What a server waits for while it answers nothing. MySQL and MariaDB do not refuse what their disk has no room for: they wait until
//! somebody makes room, and tell that to their own log alone.

use async_trait::async_trait;

use crate::Error;

/// That a target's server waits for something which only its administrator can give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// What waits for what.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// Looks whether a target stands still, beside everything else that a task does: each look may make a connection of its own, writes nothing,
/// and one that fails changes nothing.
#[async_trait]
pub trait StallWatch: Send {
    /// What the server waits for now; `None` where it waits for nothing that it tells.
    ///
    /// # Errors
    /// Whatever keeps the target from answering. The next look is not concerned.
    ///
    /// # Cancel safety
    /// A look that is dropped leaves nothing behind.
    async fn look(&mut self) -> Result<Option<Stall>, Error>;
}
