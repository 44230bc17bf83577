//! Reading and writing the fields of packets.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/9.7.0/page_protocol_basic_dt_integers.html>

/// A packet that ends within a field, or holds a length that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Takes fields from the front of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes up to a zero byte, which is taken too. Without one, the rest.
    pub(crate) fn zero_ended(&mut self) -> &'a [u8] {
        let end = memchr::memchr(0, self.rest).unwrap_or(self.rest.len());
        let text = &self.rest[..end];
        self.rest = self.rest.get(end + 1..).unwrap_or(&[]);
        text
    }

    /// An integer of one to nine bytes; `None` stands for NULL.
    #[inline]
    pub(crate) fn length(&mut self) -> Result<Option<usize>, Malformed> {
        let wide = match self.u8()? {
            short @ 0..=0xFA => return Ok(Some(usize::from(short))),
            0xFB => return Ok(None),
            0xFC => u64::from(self.u16()?),
            0xFD => {
                let [a, b, c] = self.array()?;
                u64::from(u32::from_le_bytes([a, b, c, 0]))
            }
            0xFE => self.u64()?,
            0xFF => return Err(Malformed),
        };
        usize::try_from(wide).map(Some).map_err(|_| Malformed)
    }

    /// Bytes that their length precedes; NULL is malformed.
    #[inline]
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.length()?.ok_or(Malformed)?;
        self.bytes(length)
    }

    /// Bytes that their length precedes, or NULL.
    pub(crate) fn counted_or_null(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.length()? {
            Some(length) => self.bytes(length).map(Some),
            None => Ok(None),
        }
    }
}

/// Appends bytes with their length in front.
pub(super) fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len();
    match length {
        0..=0xFA => out.extend_from_slice(&length.to_le_bytes()[..1]),
        0xFB..=0xFFFF => {
            out.push(0xFC);
            out.extend_from_slice(&length.to_le_bytes()[..2]);
        }
        0x1_0000..=0xFF_FFFF => {
            out.push(0xFD);
            out.extend_from_slice(&length.to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xFE);
            out.extend_from_slice(&(length as u64).to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_width_round_trip() {
        for length in [0, 1, 250, 251, 0xFFFF, 0x1_0000, 0xFF_FFFF, 0x100_0000] {
            let mut out = Vec::new();
            put_counted(&mut out, &vec![7; length]);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.counted().map(<[u8]>::len), Ok(length));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn fields_past_the_end_are_malformed() {
        assert_eq!(Reader::new(&[]).u8(), Err(Malformed));
        assert_eq!(Reader::new(&[3, 1, 2]).counted(), Err(Malformed));
        assert_eq!(
            Reader::new(&[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]).counted(),
            Err(Malformed)
        );
        assert_eq!(Reader::new(&[0xFB]).counted_or_null(), Ok(None));
        assert_eq!(Reader::new(&[0xFF]).length(), Err(Malformed));
        assert_eq!(Reader::new(b"ab").zero_ended(), b"ab");
    }
}
