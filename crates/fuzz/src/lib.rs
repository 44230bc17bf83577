//! What is given to the decoders of bytes from outside to see that none of them panics, loses count of its memory or goes in circles, whatever
//! the bytes are.
//!
//! A target is a function of bytes. Whoever looks for inputs that break it begins with those of `corpus/TARGET`: the tests of this crate alter
//! them by chance, always in the same way, and `cargo x fuzz` is guided by the code that they reach. An input that broke something stays in the
//! corpus.

mod corpus;
mod mutate;
mod targets;
mod values;

pub use corpus::{Corpus, folder};
pub use mutate::Mutator;
pub use targets::{TARGETS, Target};
