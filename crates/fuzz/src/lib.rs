//! What is given to the decoders of bytes from outside to see that none of them panics, loses count of its memory or goes in circles, whatever
//! the bytes are.
//!
//! A target is a function of bytes. The tests of this crate give each the inputs of `corpus/TARGET`, and others that are made of them by chance, always
//! the same; `cargo x fuzz` goes on for longer and with other seeds. An input that broke something stays in the corpus.

mod corpus;
mod mutate;
mod targets;
mod values;

pub use corpus::{Corpus, folder};
pub use mutate::Mutator;
pub use targets::{TARGETS, Target};
