//! Room on disk for what open transactions wrote and memory does not hold: one file without a name, in slots of one size that are used
//! again.
//!
//! It is never synced and never read by a later run: after a crash the source sends everything again that was not confirmed. The file has
//! no name from the moment it is made and is for nobody else to open, so that it goes with the process, however that ends, and a start finds
//! nothing to clear away. It takes no more room than it may, and none once no chunk is left in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// A chunk takes as many slots as it needs.
pub(super) const SLOT_BYTES: usize = 256 * 1024;

/// The file, and which of its slots are free.
#[derive(Debug)]
pub(super) struct Spill {
    dir: PathBuf,
    /// How long the file may become.
    bytes_max: u64,
    /// Made when it is needed, and given back when it is empty.
    file: Option<Arc<File>>,
    slot_count: u64,
    free: Vec<u64>,
}

/// Where a chunk lies.
#[derive(Debug)]
pub(super) struct Extent {
    slots: Vec<u64>,
    length: usize,
    checksum: u32,
}

/// What is to be done on the disk, away from the threads that serve connections.
#[derive(Debug)]
pub(super) enum Job {
    Write {
        file: Arc<File>,
        slots: Vec<u64>,
        bytes: Bytes,
    },
    Read {
        file: Arc<File>,
        extent: Extent,
        /// Where to. Made by the thread that asks: what a thread of the pool makes stays with it until that thread makes more, and
        /// there are many of them.
        into: BytesMut,
    },
    /// Gives the room back.
    Close(Arc<File>),
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Done {
    Written,
    Read { bytes: Bytes, extent: Extent },
    Closed,
}

impl Spill {
    pub(super) fn new(dir: PathBuf, bytes_max: u64) -> Self {
        Self {
            dir,
            bytes_max,
            file: None,
            slot_count: 0,
            free: Vec::new(),
        }
    }

    /// Finds room for a chunk. It may be read once the job is done.
    pub(super) fn write(&mut self, bytes: Bytes) -> io::Result<(Extent, Job)> {
        let needed = bytes.len().div_ceil(SLOT_BYTES);
        let new = needed.saturating_sub(self.free.len()) as u64;
        if (self.slot_count + new).saturating_mul(SLOT_BYTES as u64) > self.bytes_max {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!("it may take {} MB", self.bytes_max / 1_000_000),
            ));
        }
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(
                self.file
                    .insert(Arc::new(tempfile::tempfile_in(&self.dir)?)),
            ),
        };
        let slots: Vec<u64> = (0..needed)
            .map(|_| {
                self.free.pop().unwrap_or_else(|| {
                    self.slot_count += 1;
                    self.slot_count - 1
                })
            })
            .collect();
        let extent = Extent {
            slots: slots.clone(),
            length: bytes.len(),
            checksum: crc32fast::hash(&bytes),
        };
        Ok((extent, Job::Write { file, slots, bytes }))
    }

    /// Reads a chunk; `None` when there is no file, which its extent rules out.
    pub(super) fn read(&self, extent: Extent) -> Option<Job> {
        let file = Arc::clone(self.file.as_ref()?);
        let into = BytesMut::zeroed(extent.length);
        Some(Job::Read { file, extent, into })
    }

    pub(super) fn release(&mut self, extent: Extent) {
        self.free.extend(extent.slots);
    }

    /// The job of giving the file back, when nothing is in it.
    pub(super) fn close(&mut self) -> Option<Job> {
        if self.free.len() as u64 != self.slot_count {
            return None;
        }
        self.free = Vec::new();
        self.slot_count = 0;
        self.file.take().map(Job::Close)
    }

    pub(super) fn dir(&self) -> String {
        self.dir.display().to_string()
    }
}

impl Job {
    pub(super) fn run(self) -> io::Result<Done> {
        match self {
            Self::Write { file, slots, bytes } => {
                for (slot, part) in slots.iter().zip(bytes.chunks(SLOT_BYTES)) {
                    file.write_all_at(part, slot * SLOT_BYTES as u64)?;
                }
                Ok(Done::Written)
            }
            Self::Read {
                file,
                extent,
                into: mut bytes,
            } => {
                for (slot, part) in extent.slots.iter().zip(bytes.chunks_mut(SLOT_BYTES)) {
                    file.read_exact_at(part, slot * SLOT_BYTES as u64)?;
                }
                if crc32fast::hash(&bytes) != extent.checksum {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "what was written to the disk is not what is read from it",
                    ));
                }
                let bytes = bytes.freeze();
                Ok(Done::Read { bytes, extent })
            }
            Self::Close(file) => {
                drop(file);
                Ok(Done::Closed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spill() -> Spill {
        Spill::new(std::env::temp_dir(), u64::MAX)
    }

    fn write(spill: &mut Spill, byte: u8, length: usize) -> Extent {
        let (extent, job) = spill.write(Bytes::from(vec![byte; length])).unwrap();
        job.run().unwrap();
        extent
    }

    fn read(spill: &Spill, extent: Extent) -> io::Result<(Bytes, Extent)> {
        match spill.read(extent).unwrap().run()? {
            Done::Read { bytes, extent } => Ok((bytes, extent)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn chunks_come_back_as_they_were_and_their_room_is_used_again() {
        let mut spill = spill();
        let first = write(&mut spill, 1, 2 * SLOT_BYTES + 1);
        let second = write(&mut spill, 2, 10);
        let (bytes, first) = read(&spill, first).unwrap();
        assert_eq!(bytes, vec![1; 2 * SLOT_BYTES + 1]);
        spill.release(first);
        let third = write(&mut spill, 3, 2 * SLOT_BYTES);
        assert_eq!(spill.slot_count, 4);
        assert_eq!(read(&spill, third).unwrap().0, vec![3; 2 * SLOT_BYTES]);
        let (bytes, second) = read(&spill, second).unwrap();
        assert_eq!(bytes, vec![2; 10]);
        assert!(spill.close().is_none());
        spill.release(second);
    }

    #[test]
    fn a_file_without_contents_is_given_back() {
        let mut spill = spill();
        let extent = write(&mut spill, 1, SLOT_BYTES);
        spill.release(extent);
        assert!(matches!(spill.close(), Some(Job::Close(_))));
        assert!(spill.close().is_none());
        let extent = write(&mut spill, 2, 5);
        assert_eq!(read(&spill, extent).unwrap().0, vec![2; 5]);
    }

    #[test]
    fn a_disk_that_gives_back_something_else_is_noticed() {
        let mut spill = spill();
        let extent = write(&mut spill, 1, 100);
        spill.file.as_ref().unwrap().write_all_at(b"x", 50).unwrap();
        let error = read(&spill, extent).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let mut spill = Spill::new("/nonexistent/folder".into(), u64::MAX);
        assert!(spill.write(Bytes::from_static(b"x")).is_err());
    }

    #[test]
    fn no_more_room_is_taken_than_may_be() {
        let mut spill = Spill::new(std::env::temp_dir(), 3 * SLOT_BYTES as u64);
        let first = write(&mut spill, 1, 2 * SLOT_BYTES);
        let error = spill.write(Bytes::from(vec![2; SLOT_BYTES + 1]));
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        write(&mut spill, 3, SLOT_BYTES);
        spill.release(first);
        write(&mut spill, 4, 2 * SLOT_BYTES);
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut spill = spill();
        spill.file = Some(Arc::new(full));
        let (_, job) = spill.write(Bytes::from_static(b"x")).unwrap();
        assert_eq!(job.run().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    /// Whoever looks for files that a run has left, however it ended, finds none.
    #[test]
    fn the_file_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(dir.path().to_owned(), u64::MAX);
        let extent = write(&mut spill, 1, 10);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(read(&spill, extent).unwrap().0, vec![1; 10]);
    }
}
