/// The longest input that is made.
const BYTES_MAX: usize = 4096;

/// Numbers at which widths and signs end.
const NUMBERS: &[u64] = &[
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0xFF_FFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Texts of numbers that end it, and what texts are often made of.
const TEXTS: &[&str] = &[
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551616",
    "1e999",
    "1e-999",
    "0.00000000000000000001",
    "NaN",
    "null",
    "\"",
    "'",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ",",
    ":",
    ";",
    "%",
    "é",
    "\u{10FFFF}",
    "\0",
];

/// Alters inputs by chance: the same seed makes the same inputs.
#[derive(Clone, Debug)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// Begins with a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// An input like one of those, of which there is at least one.
    pub fn like(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut made = self.one_of(inputs).clone();
        for _ in 0..=self.below(4) {
            self.alter(&mut made, inputs);
        }
        made.truncate(BYTES_MAX);
        made
    }

    fn alter(&mut self, made: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(made.len() + 1);
        match self.below(8) {
            0 => made.truncate(at),
            1 => {
                if let Some(byte) = made.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            2 => {
                if let Some(byte) = made.get_mut(at) {
                    *byte = self.byte();
                }
            }
            3 => self.put_number(made, at),
            4 => {
                let text = TEXTS[self.below(TEXTS.len())];
                let end = (at + self.below(4)).min(made.len());
                made.splice(at..end, text.bytes());
            }
            // A part goes, comes twice, or comes from elsewhere.
            5 => {
                let end = (at + self.below(16)).min(made.len());
                made.drain(at..end);
            }
            6 => {
                let end = (at + self.below(64)).min(made.len());
                let part = made[at..end].to_vec();
                made.splice(at..at, part);
            }
            _ => {
                let other = self.one_of(inputs);
                let from = self.below(other.len() + 1);
                made.truncate(at);
                made.extend_from_slice(&other[from..]);
            }
        }
    }

    /// A number at an end of its width, in either order of bytes.
    fn put_number(&mut self, made: &mut [u8], at: usize) {
        let width = [1, 2, 4, 8][self.below(4)];
        let number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
        let mut bytes = number[..width].to_vec();
        if self.below(2) == 0 {
            bytes.reverse();
        }
        for (place, byte) in made.iter_mut().skip(at).zip(bytes) {
            *place = byte;
        }
    }

    fn one_of<'i>(&mut self, inputs: &'i [Vec<u8>]) -> &'i Vec<u8> {
        &inputs[self.below(inputs.len())]
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A number less than `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_another_one_others() {
        let inputs = [b"one input".to_vec(), b"another".to_vec()];
        let made = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..20).map(|_| mutator.like(&inputs)).collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }
}
