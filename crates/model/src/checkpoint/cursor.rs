//! Reading little-endian numbers off a slice, with an error at its end.

use super::error::CheckpointError;

/// A position in the bytes.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
    what: &'static str,
}

impl<'a> Cursor<'a> {
    /// Starts at `position`; `what` names the part of the file in errors.
    pub(super) fn new(bytes: &'a [u8], position: usize, what: &'static str) -> Self {
        Self { bytes, position, what }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], CheckpointError> {
        let end = self.position.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.position..end));
        let taken = taken.ok_or_else(|| CheckpointError::Truncated(self.what.to_owned()))?;
        self.position += count;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], CheckpointError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, CheckpointError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, CheckpointError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, CheckpointError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, CheckpointError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The bytes up to a line feed, which is passed.
    pub(super) fn line(&mut self) -> Result<&'a [u8], CheckpointError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n');
        let length = length.ok_or_else(|| CheckpointError::Truncated(self.what.to_owned()))?;
        let line = self.take(length)?;
        self.position += 1;
        Ok(line)
    }
}
