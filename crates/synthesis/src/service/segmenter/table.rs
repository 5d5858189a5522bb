//! The table of a shard's nuclei, as Parquet: the same bytes for the same nuclei.

use counterstain_api::error::ErrorCode;
use counterstain_tile::nuclei::Nucleus;
use counterstain_worker::TaskError;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;

/// One row per nucleus. Lengths are in pixels; x and y are the centroid; right and bottom are exclusive.
const SCHEMA: &str = "message nuclei {
  REQUIRED BYTE_ARRAY key (UTF8);
  REQUIRED INT32 nucleus;
  REQUIRED DOUBLE x;
  REQUIRED DOUBLE y;
  REQUIRED INT32 area;
  OPTIONAL INT32 type;
  OPTIONAL BYTE_ARRAY type_name (UTF8);
  OPTIONAL DOUBLE probability;
  REQUIRED INT32 left;
  REQUIRED INT32 top;
  REQUIRED INT32 right;
  REQUIRED INT32 bottom;
}";

/// The columns, filled row by row.
#[derive(Debug, Default)]
pub struct NucleusTable {
    keys: Vec<ByteArray>,
    /// Nucleus, area, left, top, right, bottom.
    numbers: [Vec<i32>; 6],
    /// x, y.
    centroids: [Vec<f64>; 2],
    /// Those of nuclei with a type, and for every nucleus whether it has one.
    types: Vec<i32>,
    type_names: Vec<ByteArray>,
    probabilities: Vec<f64>,
    typed: Vec<i16>,
}

impl NucleusTable {
    /// Appends the nuclei of a sample. `names` are those of the types.
    pub fn add(&mut self, key: &str, nuclei: &[Nucleus], names: &[String]) {
        let key = ByteArray::from(key);
        for nucleus in nuclei {
            let bounds = nucleus.bounding_box;
            let numbers = [nucleus.area, bounds.left, bounds.top, bounds.right, bounds.bottom];
            self.keys.push(key.clone());
            self.numbers[0].push(nucleus.id as i32);
            for (column, number) in self.numbers[1..].iter_mut().zip(numbers) {
                column.push(number as i32);
            }
            self.centroids[0].push(nucleus.centroid.0);
            self.centroids[1].push(nucleus.centroid.1);
            self.typed.push(i16::from(nucleus.kind.is_some()));
            if let Some(kind) = nucleus.kind {
                self.types.push(kind.kind as i32);
                let name = names.get(kind.kind as usize).map_or("", String::as_str);
                self.type_names.push(ByteArray::from(name));
                self.probabilities.push(kind.probability);
            }
        }
    }

    /// The Parquet file.
    ///
    /// # Errors
    /// When it cannot be encoded, which is a fault of the program.
    pub fn encode(&self) -> Result<Vec<u8>, TaskError> {
        self.write().map_err(|error| {
            TaskError::new(ErrorCode::Internal, format!("the table of nuclei cannot be encoded: {error}"))
        })
    }

    fn write(&self) -> Result<Vec<u8>, ParquetError> {
        // The writer's name is a part of the file: it must not change with the library's version.
        let properties = WriterProperties::builder().set_created_by("counterstain".to_owned()).build();
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
        let mut rows = file.next_row_group()?;
        let [nucleus, area, left, top, right, bottom] = &self.numbers;
        macro_rules! column {
            ($kind:ty, $values:expr, $levels:expr) => {{
                if let Some(mut column) = rows.next_column()? {
                    column.typed::<$kind>().write_batch($values, $levels, None)?;
                    column.close()?;
                }
            }};
        }
        let typed = Some(self.typed.as_slice());
        column!(ByteArrayType, &self.keys, None);
        column!(Int32Type, nucleus, None);
        column!(DoubleType, &self.centroids[0], None);
        column!(DoubleType, &self.centroids[1], None);
        column!(Int32Type, area, None);
        column!(Int32Type, &self.types, typed);
        column!(ByteArrayType, &self.type_names, typed);
        column!(DoubleType, &self.probabilities, typed);
        column!(Int32Type, left, None);
        column!(Int32Type, top, None);
        column!(Int32Type, right, None);
        column!(Int32Type, bottom, None);
        rows.close()?;
        file.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterstain_tile::nuclei::{BoundingBox, NucleusKind};
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;

    fn nucleus(id: u32, kind: Option<u32>) -> Nucleus {
        Nucleus {
            id,
            area: 10,
            bounding_box: BoundingBox { top: 1, left: 2, bottom: 5, right: 6 },
            centroid: (3.5, 2.25),
            contour: Vec::new(),
            kind: kind.map(|kind| NucleusKind { kind, probability: 0.75 }),
        }
    }

    #[test]
    fn the_rows_come_back_and_the_bytes_are_always_the_same() {
        let encode = || {
            let mut table = NucleusTable::default();
            let names = ["background".to_owned(), "other".to_owned()];
            table.add("tile/000", &[nucleus(1, Some(1)), nucleus(4, None)], &names);
            table.add("tile/001", &[], &names);
            table.encode().unwrap()
        };
        let bytes = encode();
        assert_eq!(bytes, encode());
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].get_string(0).unwrap(), "tile/000");
        assert_eq!((rows[0].get_int(1).unwrap(), rows[1].get_int(1).unwrap()), (1, 4));
        assert_eq!(rows[0].get_double(2).unwrap(), 3.5);
        assert_eq!(rows[0].get_string(6).unwrap(), "other");
        assert_eq!(rows[0].get_double(7).unwrap(), 0.75);
        assert!(rows[1].get_int(5).is_err(), "a nucleus without a type has none in the table");
        assert_eq!(rows[1].get_int(11).unwrap(), 5);
    }

    #[test]
    fn a_shard_without_nuclei_has_an_empty_table() {
        let bytes = NucleusTable::default().encode().unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(reader.get_row_iter(None).unwrap().count(), 0);
    }
}
