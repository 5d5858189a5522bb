//! The zip archives that `torch.save` writes: members are stored, not compressed.
//! Members are slices of the file, so that nothing is allocated for them.

use super::cursor::Cursor;
use super::error::{CheckpointError, malformed};
use std::collections::BTreeMap;

/// An archive's members by name.
pub(super) struct Archive<'a> {
    members: BTreeMap<String, &'a [u8]>,
}

const PLACE: &str = "its zip archive";
const LOCAL_HEADER: u32 = 0x0403_4b50;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;
/// The end record without its comment, and the longest comment.
const END_LENGTH: usize = 22;
const LONGEST_COMMENT: usize = 65_535;

impl<'a> Archive<'a> {
    pub(super) fn open(file: &'a [u8]) -> Result<Self, CheckpointError> {
        let directory = find_directory(file)?;
        let mut cursor = Cursor::new(file, directory.start, PLACE);
        let mut members = BTreeMap::new();
        for _ in 0..directory.entries {
            let entry = CentralEntry::read(&mut cursor)?;
            let name = entry.name.clone();
            if members.insert(entry.name.clone(), entry.data(file)?).is_some() {
                return Err(malformed(format!("its zip archive has `{name}` twice")));
            }
        }
        Ok(Self { members })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    pub(super) fn member(&self, name: &str) -> Option<&'a [u8]> {
        self.members.get(name).copied()
    }
}

struct Directory {
    start: usize,
    entries: u64,
}

fn find_directory(file: &[u8]) -> Result<Directory, CheckpointError> {
    let first = file.len().saturating_sub(END_LENGTH + LONGEST_COMMENT);
    let last = file.len().saturating_sub(END_LENGTH);
    let is_end = |position: &usize| file[*position..].starts_with(&END.to_le_bytes());
    let end = (first..=last).rev().find(is_end);
    let end = end.ok_or_else(|| CheckpointError::Truncated(PLACE.to_owned()))?;
    let mut cursor = Cursor::new(file, end + 10, PLACE);
    let entries = cursor.u16()?;
    let _size = cursor.u32()?;
    let start = cursor.u32()?;
    if entries != u16::MAX && start != u32::MAX {
        return Ok(Directory { start: start as usize, entries: u64::from(entries) });
    }
    find_directory_64(file, end)
}

/// Archives beyond 4 GiB say where their longer end record is just before the end.
fn find_directory_64(file: &[u8], end: usize) -> Result<Directory, CheckpointError> {
    let locator = end.checked_sub(20).ok_or_else(|| CheckpointError::Truncated(PLACE.to_owned()))?;
    let mut cursor = Cursor::new(file, locator, PLACE);
    if cursor.u32()? != END_64_LOCATOR {
        return Err(malformed("its zip archive has no valid end"));
    }
    let _disk = cursor.u32()?;
    let position = to_usize(cursor.u64()?)?;
    let mut cursor = Cursor::new(file, position, PLACE);
    if cursor.u32()? != END_64 {
        return Err(malformed("its zip archive has no valid end"));
    }
    cursor.take(28)?;
    let entries = cursor.u64()?;
    let _size = cursor.u64()?;
    Ok(Directory { start: to_usize(cursor.u64()?)?, entries })
}

struct CentralEntry {
    name: String,
    size: usize,
    header: usize,
}

impl CentralEntry {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, CheckpointError> {
        if cursor.u32()? != CENTRAL_HEADER {
            return Err(malformed("its zip directory has an entry that is none"));
        }
        cursor.take(6)?;
        let method = cursor.u16()?;
        cursor.take(8)?;
        let packed = cursor.u32()?;
        let size = cursor.u32()?;
        let name_length = usize::from(cursor.u16()?);
        let extra_length = usize::from(cursor.u16()?);
        let comment_length = usize::from(cursor.u16()?);
        cursor.take(8)?;
        let header = cursor.u32()?;
        let name = String::from_utf8_lossy(cursor.take(name_length)?).into_owned();
        let extra = cursor.take(extra_length)?;
        cursor.take(comment_length)?;
        if method != 0 {
            return Err(malformed(format!("its member `{name}` is compressed")));
        }
        let mut wide = WideFields::find(extra);
        let size = wide.or(size)?;
        let packed = wide.or(packed)?;
        if size != packed {
            return Err(malformed(format!("the size of its member `{name}` is not clear")));
        }
        let header = wide.or(header)?;
        Ok(Self { name, size: to_usize(size)?, header: to_usize(header)? })
    }

    /// The member's bytes, after its local header.
    fn data<'a>(&self, file: &'a [u8]) -> Result<&'a [u8], CheckpointError> {
        let mut cursor = Cursor::new(file, self.header, PLACE);
        if cursor.u32()? != LOCAL_HEADER {
            return Err(malformed(format!("its member `{}` has no header", self.name)));
        }
        cursor.take(22)?;
        let name_length = usize::from(cursor.u16()?);
        let extra_length = usize::from(cursor.u16()?);
        cursor.take(name_length + extra_length)?;
        cursor.take(self.size)
    }
}

/// The 64-bit numbers that stand in for 32-bit ones that are all ones, in order.
struct WideFields<'a> {
    rest: Option<Cursor<'a>>,
}

impl<'a> WideFields<'a> {
    fn find(extra: &'a [u8]) -> Self {
        let mut cursor = Cursor::new(extra, 0, PLACE);
        while let (Ok(tag), Ok(length)) = (cursor.u16(), cursor.u16()) {
            let Ok(field) = cursor.take(usize::from(length)) else { break };
            if tag == 1 {
                return Self { rest: Some(Cursor::new(field, 0, PLACE)) };
            }
        }
        Self { rest: None }
    }

    fn or(&mut self, narrow: u32) -> Result<u64, CheckpointError> {
        match (&mut self.rest, narrow) {
            (Some(wide), u32::MAX) => wide.u64(),
            _ => Ok(u64::from(narrow)),
        }
    }
}

fn to_usize(number: u64) -> Result<usize, CheckpointError> {
    usize::try_from(number).map_err(|_| malformed("a position in its zip archive is too large"))
}
