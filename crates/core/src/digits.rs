//! Digits of numbers as text, for the paths on which each row goes.

/// The decimal digits of 0 to 99.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        #[expect(clippy::cast_possible_truncation, reason = "digits are below 10")]
        let (tens, ones) = ((number / 10) as u8, (number % 10) as u8);
        pairs[number] = [b'0' + tens, b'0' + ones];
        number += 1;
    }
    pairs
};

/// The last two digits.
#[inline]
pub fn two_digits(number: u32) -> [u8; 2] {
    PAIRS[(number % 100) as usize]
}

/// The last four digits.
#[inline]
pub fn four_digits(number: u32) -> [u8; 4] {
    let ([thousands, hundreds], [tens, ones]) = (two_digits(number / 100), two_digits(number));
    [thousands, hundreds, tens, ones]
}

/// Appends the first `length` bytes of the block. A copy of fixed size needs no call: for a few bytes, that is most of the work.
///
/// # Panics
/// Never for a `length` up to that of the block.
#[inline]
pub fn append_front<const N: usize>(block: &[u8; N], length: usize, out: &mut Vec<u8>) {
    debug_assert!(length <= N);
    let end = out.len() + length;
    out.extend_from_slice(block);
    out.truncate(end);
}

/// Appends a number without leading zeros.
#[inline]
pub fn write_unsigned(mut number: u64, out: &mut Vec<u8>) {
    // Twice the most digits, so that a block of fixed size begins at each.
    let mut text = [0_u8; 2 * U64_DIGITS];
    let mut at = U64_DIGITS;
    while number >= 100 {
        at -= 2;
        let pair = two_digits((number % 100) as u32);
        text[at..at + 2].copy_from_slice(&pair);
        number /= 100;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 100")]
    let [tens, ones] = two_digits(number as u32);
    at -= 1;
    text[at] = ones;
    if tens != b'0' {
        at -= 1;
        text[at] = tens;
    }
    if let Some(block) = text[at..].first_chunk::<U64_DIGITS>() {
        append_front(block, U64_DIGITS - at, out);
    }
}

/// Digits of [`u64::MAX`].
const U64_DIGITS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_formatter() {
        for number in 0..10_000_u32 {
            assert_eq!(
                four_digits(number).to_vec(),
                format!("{number:04}").into_bytes()
            );
        }
        assert_eq!(four_digits(123_456), *b"3456");
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let numbers = powers.flat_map(|power| [power - 1, power, power + power / 2]);
        for number in numbers.chain([u64::MAX]) {
            let mut out = b"x".to_vec();
            write_unsigned(number, &mut out);
            assert_eq!(out, format!("x{number}").into_bytes());
        }
    }
}
