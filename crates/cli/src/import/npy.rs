//! Rows of NumPy arrays on disk, without loading the arrays.
//!
//! Invariants: nothing is unpickled; a header's promises are compared with the file's size before anything
//! is allocated; values become whole numbers or an error.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use npyz::{DType, NpyHeader, Order, TypeChar};

use super::error::ImportError;

/// Longest header that is read; NumPy's own are far shorter.
const MAX_HEADER: u64 = 1 << 16;
/// Longest row; PanNuke's are 3 MiB.
const MAX_ROW: u64 = 1 << 30;

/// An array in a file.
#[derive(Debug)]
pub struct Array {
    path: PathBuf,
    file: File,
    shape: Vec<usize>,
    /// Offset of the first value in the file.
    start: u64,
    kind: Kind,
    /// Bytes of a value.
    size: usize,
}

/// What values are, always little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float,
    Signed,
    Unsigned,
    /// UTF-32, padded with zeros.
    Text,
}

impl Array {
    /// Opens an array and checks its header against the file's size.
    ///
    /// # Errors
    /// A file that cannot be read, is no `.npy`, is truncated, has objects (pickles) or another type than
    /// little-endian numbers or texts, or is in Fortran order.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let read = |source| ImportError::read(path, source);
        let invalid = |text: String| ImportError::Invalid(format!("{}: {text}", path.display()));
        let mut file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        let header = NpyHeader::from_reader((&mut file).take(MAX_HEADER))
            .map_err(|error| invalid(format!("is no NumPy array, or its header is damaged ({error})")))?;
        let start = file.stream_position().map_err(read)?;
        let (kind, size) = kind_of(&header).map_err(&invalid)?;
        if header.order() == Order::Fortran {
            return Err(invalid(
                "is in Fortran order, whose rows are not contiguous; save it with numpy.ascontiguousarray"
                    .into(),
            ));
        }
        let promised = header
            .shape()
            .iter()
            .try_fold(size as u64, |product, &side| product.checked_mul(side))
            .and_then(|bytes| bytes.checked_add(start))
            .ok_or_else(|| invalid("has an impossible shape".to_owned()))?;
        if length != promised {
            let what = if length < promised { "is truncated" } else { "has bytes after its end" };
            return Err(invalid(format!("{what}: {length} bytes, its header promises {promised}")));
        }
        let shape: Vec<usize> = header.shape().iter().map(|&side| side as usize).collect();
        let array = Self { path: path.to_owned(), file, shape, start, kind, size };
        if array.row_bytes() as u64 > MAX_ROW {
            return Err(invalid(format!("a row has more than {MAX_ROW} bytes")));
        }
        Ok(array)
    }

    /// Its sides.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.shape.iter().skip(1).product::<usize>() * self.size
    }

    /// The error of another shape than `wanted`.
    pub fn unfit(&self, wanted: &str) -> ImportError {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let text =
            format!("{}: must have the shape {wanted}, has ({})", self.path.display(), shape.join(", "));
        ImportError::Invalid(text)
    }

    /// Refuses texts.
    ///
    /// # Errors
    /// When values are texts.
    pub fn require_numbers(&self) -> Result<(), ImportError> {
        if self.kind != Kind::Text {
            return Ok(());
        }
        Err(ImportError::Invalid(format!("{}: holds texts, expected numbers", self.path.display())))
    }

    /// The values of a row, which must be whole and not negative.
    ///
    /// # Errors
    /// Other values, and those of the disk.
    pub fn read_row(&self, row: usize) -> Result<Vec<u32>, String> {
        let bytes = self.bytes_of(row, 1)?;
        bytes.chunks_exact(self.size).map(|value| self.whole(value)).collect()
    }

    /// All values as texts.
    ///
    /// # Errors
    /// When they are no texts, and those of the disk.
    pub fn read_texts(&self) -> Result<Vec<String>, ImportError> {
        let invalid = |text: String| ImportError::Invalid(format!("{}: {text}", self.path.display()));
        if self.kind != Kind::Text {
            return Err(invalid("holds numbers, expected texts".to_owned()));
        }
        (0..self.shape[0])
            .map(|row| {
                let bytes = self.bytes_of(row, 1).map_err(&invalid)?;
                let (values, _) = bytes.as_chunks::<4>();
                let text = values.iter().map(|&value| u32::from_le_bytes(value)).filter(|&value| value != 0);
                text.map(|value| {
                    char::from_u32(value).ok_or_else(|| invalid(format!("row {row} is no text")))
                })
                .collect()
            })
            .collect()
    }

    fn bytes_of(&self, row: usize, rows: usize) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; self.row_bytes() * rows];
        let offset = self.start + (row * self.row_bytes()) as u64;
        self.file.read_exact_at(&mut bytes, offset).map_err(|error| format!("cannot be read: {error}"))?;
        Ok(bytes)
    }

    fn whole(&self, bytes: &[u8]) -> Result<u32, String> {
        let mut padded = [0; 8];
        padded[..self.size].copy_from_slice(bytes);
        let number = match (self.kind, self.size) {
            (Kind::Float, 4) => {
                return whole_float(f32::from_bits(u32::from_le_bytes(first_four(padded))).into());
            }
            (Kind::Float, _) => return whole_float(f64::from_le_bytes(padded)),
            (Kind::Signed, size) => {
                // Moves the sign bit to the top and back, which extends it.
                let unused = 64 - 8 * size as u32;
                i128::from(i64::from_le_bytes(padded) << unused >> unused)
            }
            _ => i128::from(u64::from_le_bytes(padded)),
        };
        u32::try_from(number)
            .map_err(|_| format!("a value is {number}, not a whole number from 0 to 2^32 - 1"))
    }
}

fn first_four(bytes: [u8; 8]) -> [u8; 4] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

fn whole_float(value: f64) -> Result<u32, String> {
    if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value) {
        return Ok(value as u32);
    }
    Err(format!("a value is {value}, not a whole number from 0 to 2^32 - 1"))
}

fn kind_of(header: &NpyHeader) -> Result<(Kind, usize), String> {
    let dtype = header.dtype();
    let unfit = |why: &str| {
        format!("has the dtype {}, {why}; expected little-endian integers, floats or texts", dtype.descr())
    };
    if dtype.uses_pickled_array() {
        return Err(unfit("which is pickled Python objects and is never loaded"));
    }
    let DType::Plain(plain) = &dtype else { return Err(unfit("which has fields")) };
    if plain.endianness() == npyz::Endianness::Big {
        return Err(unfit("which is big-endian"));
    }
    let kind = match plain.type_char() {
        TypeChar::Float => Kind::Float,
        TypeChar::Int => Kind::Signed,
        TypeChar::Uint | TypeChar::Bool => Kind::Unsigned,
        TypeChar::UnicodeStr => Kind::Text,
        _ => return Err(unfit("which is neither numbers nor texts")),
    };
    let size = plain.num_bytes().unwrap_or_default();
    let fits = match kind {
        Kind::Float => matches!(size, 4 | 8),
        Kind::Text => (4..=4096).contains(&size),
        _ => matches!(size, 1 | 2 | 4 | 8),
    };
    if fits { Ok((kind, size)) } else { Err(unfit("whose size is not supported")) }
}
