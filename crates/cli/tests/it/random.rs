//! Random choices that can be made again.

use std::ops::RangeInclusive;

/// A generator of the splitmix64 kind: ten lines, and good enough to choose by.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator that says on the standard error how it is made again.
    pub(crate) fn announced() -> Self {
        Self(whimbrel_testkit::seed())
    }

    /// One that hangs on nothing but a seed and a name.
    pub(crate) fn of_case(seed: u64, name: &str, part: &str) -> Self {
        let mix = |sum: u64, byte: u8| sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte);
        Self(name.bytes().chain(part.bytes()).fold(seed, mix))
    }

    /// What it was made of, while nothing was chosen yet.
    pub(crate) fn seed(&self) -> u64 {
        self.0
    }

    /// A generator of its own, so that one part's choices do not hang on how many another part made.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.bits())
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range.
    pub(crate) fn of(&mut self, range: RangeInclusive<i128>) -> i128 {
        let width = u128::try_from(range.end() - range.start()).unwrap() + 1;
        let wide = (u128::from(self.bits()) << 64) | u128::from(self.bits());
        range.start() + i128::try_from(wide % width).unwrap()
    }

    /// A number below a bound.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.bits() % bound as u64).unwrap()
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}
