//! Results in the formats of other programs: one record a run as JSON lines or Parquet, curves as TensorBoard events.

#[cfg(feature = "parquet")]
mod parquet;
mod records;
mod tensorboard;

#[cfg(feature = "parquet")]
pub use self::parquet::to_parquet;
pub use records::{Record, flatten, records, to_jsonl};
pub use tensorboard::events;
