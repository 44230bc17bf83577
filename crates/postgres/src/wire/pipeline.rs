//! Many statements in one write: messages of the extended query protocol, put together before any of them is sent.
//!
//! The server runs them in order. After an error it passes over everything up to the Sync, rows of a COPY included, so that what
//! follows a failed statement has no effect; the answers tell which one failed.

use std::io;

use super::connection::row_count_of_tag;
use super::stream::Message;
use super::{Connection, ServerError, WireError};

/// Formats of parameters.
pub(crate) const FORMAT_TEXT: i16 = 0;
pub(crate) const FORMAT_BINARY: i16 = 1;

/// Messages on their way.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    bytes: Vec<u8>,
}

/// A message that has begun: where its type byte is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun(usize);

impl Pipeline {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The bytes of the message that has begun last, to append to.
    pub(crate) fn body(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    fn begin(&mut self, kind: u8) -> Begun {
        let begun = Begun(self.bytes.len());
        self.bytes.extend_from_slice(&[kind, 0, 0, 0, 0]);
        begun
    }

    /// Writes the length of a message that is complete.
    pub(crate) fn end(&mut self, begun: Begun) -> Result<(), WireError> {
        let length = i32::try_from(self.bytes.len() - begun.0 - 1)
            .map_err(|_| WireError::protocol("a message longer than 1 GiB was to be sent"))?;
        self.bytes[begun.0 + 1..begun.0 + 5].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn short(&mut self, kind: u8, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).expect("names and SQL are far below 4 GiB");
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(body);
    }

    /// Prepares a statement; the name may be empty. Parameters without a type, and of type 0, are of the type that fits.
    pub(crate) fn parse(&mut self, name: &str, sql: &str, types: &[u32]) {
        let mut body = Vec::with_capacity(name.len() + sql.len() + types.len() * 4 + 4);
        push_text(&mut body, name);
        push_text(&mut body, sql);
        push_count(&mut body, types.len());
        for oid in types {
            body.extend_from_slice(&oid.to_be_bytes());
        }
        self.short(b'P', &body);
    }

    /// Begins to bind a statement to `formats.len()` parameters, each appended as its length (−1 for NULL) and its bytes.
    pub(crate) fn begin_bind(
        &mut self,
        statement: &str,
        formats: impl ExactSizeIterator<Item = i16>,
    ) -> Begun {
        let begun = self.begin(b'B');
        self.bytes.push(0);
        push_text(&mut self.bytes, statement);
        let count = formats.len();
        push_count(&mut self.bytes, count);
        for format in formats {
            self.bytes.extend_from_slice(&format.to_be_bytes());
        }
        push_count(&mut self.bytes, count);
        begun
    }

    /// Ends a binding and executes it.
    pub(crate) fn end_bind_and_execute(&mut self, begun: Begun) -> Result<(), WireError> {
        push_count(&mut self.bytes, 0);
        self.end(begun)?;
        self.short(b'E', &[0; 5]);
        Ok(())
    }

    /// Executes a prepared statement with parameters as text.
    pub(crate) fn execute(
        &mut self,
        statement: &str,
        parameters: &[&str],
    ) -> Result<(), WireError> {
        let bind = self.begin_bind(statement, parameters.iter().map(|_| FORMAT_TEXT));
        for text in parameters {
            let length = i32::try_from(text.len())
                .map_err(|_| WireError::protocol("a parameter longer than 1 GiB"))?;
            self.bytes.extend_from_slice(&length.to_be_bytes());
            self.bytes.extend_from_slice(text.as_bytes());
        }
        self.end_bind_and_execute(bind)
    }

    /// Executes a statement without parameters.
    pub(crate) fn run(&mut self, sql: &str) -> Result<(), WireError> {
        self.parse("", sql, &[]);
        self.execute("", &[])
    }

    /// Forgets a prepared statement. No error if there is none.
    pub(crate) fn close(&mut self, statement: &str) {
        let mut body = vec![b'S'];
        push_text(&mut body, statement);
        self.short(b'C', &body);
    }

    /// Begins a piece of the rows of a COPY, which was executed before.
    pub(crate) fn begin_copy_data(&mut self) -> Begun {
        self.begin(b'd')
    }

    pub(crate) fn copy_done(&mut self) {
        self.short(b'c', &[]);
    }

    /// Makes a running COPY fail; without one, nothing.
    pub(crate) fn copy_fail(&mut self) {
        self.short(b'f', b"given up\0");
    }

    pub(crate) fn sync(&mut self) {
        self.short(b'S', &[]);
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().filter(|&byte| byte != 0));
    out.push(0);
}

fn push_count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).expect("columns are at most 1,600, statements use each twice");
    out.extend_from_slice(&count.to_be_bytes());
}

/// What a server answered to the statements before a Sync.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The rows touched by each statement that was executed, in order.
    pub(crate) counts: Vec<u64>,
    /// Why the statement after those failed.
    pub(crate) failure: Option<Box<ServerError>>,
}

impl Connection {
    /// Sends what is in the pipeline and empties it. Answers that come meanwhile are kept.
    pub(crate) async fn send_pipeline(&mut self, pipeline: &mut Pipeline) -> Result<(), WireError> {
        let sent = self.stream.write_ahead(&pipeline.bytes).await;
        pipeline.bytes.clear();
        sent
    }

    /// Collects the answers up to that of the next Sync.
    pub(crate) async fn answers(&mut self) -> Result<Answers, WireError> {
        let mut answers = Answers::default();
        loop {
            let Message { kind, body } = match (self.stream.message().await, &answers.failure) {
                (Ok(message), _) => message,
                // The server said why before it hung up.
                (Err(WireError::Io(_) | WireError::Closed), Some(why)) => {
                    return Err(WireError::Io(io::Error::other(why.to_string())));
                }
                (Err(error), _) => return Err(error),
            };
            match kind {
                b'C' => answers.counts.push(row_count_of_tag(&body)),
                b'I' => answers.counts.push(0),
                b'E' => answers.failure = Some(Box::new(ServerError::parse(&body))),
                b'S' => self.remember_parameter(&body),
                b'Z' => return Ok(answers),
                b'1' | b'2' | b'3' | b'A' | b'D' | b'G' | b'N' | b'T' | b'n' | b's' | b't' => {}
                other => return Err(super::connection::unexpected(other, "a pipeline")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_their_lengths() {
        let mut pipeline = Pipeline::default();
        pipeline.parse("a", "SELECT $1", &[23]);
        pipeline.execute("a", &["7"]).unwrap();
        pipeline.sync();
        let mut rest = pipeline.bytes.as_slice();
        let mut kinds = Vec::new();
        while let Some((kind, tail)) = rest.split_first() {
            let length = u32::from_be_bytes(*tail.first_chunk().unwrap()) as usize;
            kinds.push(*kind);
            rest = &tail[length..];
        }
        assert_eq!(kinds, b"PBES");
    }

    #[test]
    fn a_binding_has_formats_and_cells() {
        let mut pipeline = Pipeline::default();
        let bind = pipeline.begin_bind("s", [FORMAT_BINARY, FORMAT_TEXT].into_iter());
        pipeline.body().extend_from_slice(&(-1_i32).to_be_bytes());
        pipeline.body().extend_from_slice(&[0, 0, 0, 1, b'x']);
        pipeline.end_bind_and_execute(bind).unwrap();
        let expected = b"B\0\0\0\x1E\0s\0\0\x02\0\x01\0\0\0\x02\xFF\xFF\xFF\xFF\0\0\0\x01x\0\0E\0\0\0\x09\0\0\0\0\0";
        let mut expected = expected.to_vec();
        expected[4] = u8::try_from(expected.len() - 10 - 1).unwrap();
        assert_eq!(pipeline.bytes, expected);
    }
}
