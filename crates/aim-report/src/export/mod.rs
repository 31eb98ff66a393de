//! Results in the formats of other programs: one record a run, as JSON lines or Parquet.

#[cfg(feature = "parquet")]
mod parquet;
mod records;

#[cfg(feature = "parquet")]
pub use self::parquet::to_parquet;
pub use records::{Record, flatten, records, to_jsonl};
