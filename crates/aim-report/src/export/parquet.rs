//! Records as a Parquet file.

use std::sync::Arc;

use aim_core::{Error, Result};
use parquet::{
    basic::{LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::Type,
};
use serde_json::Value;

use super::Record;

/// The values of a column, of one type; missing ones are `null`.
enum Column {
    Text(Vec<Option<ByteArray>>),
    Integer(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
}

/// The file's bytes: one row group, every column optional, in the order of the first record.
///
/// # Errors
/// If a column cannot be written.
pub fn to_parquet(records: &[Record]) -> Result<Vec<u8>> {
    write(records)
        .map_err(|e| Error::invalid("results.parquet", e.to_string(), "report this fault with the command that met it"))
}

fn write(records: &[Record]) -> std::result::Result<Vec<u8>, ParquetError> {
    let names: Vec<&String> = records.first().into_iter().flat_map(|record| record.keys()).collect();
    let columns: Vec<Column> = names.iter().map(|name| column(records, name)).collect();
    let types = names.iter().zip(&columns).map(|(name, column)| Ok(Arc::new(column.field(name)?)));
    let types = types.collect::<std::result::Result<_, ParquetError>>()?;
    let schema = Type::group_type_builder("results").with_fields(types).build()?;
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(WriterProperties::default()))?;
    let mut group = file.next_row_group()?;
    for column in columns {
        let Some(mut writer) = group.next_column()? else { break };
        match column {
            Column::Text(values) => put::<ByteArrayType>(writer.typed(), values)?,
            Column::Integer(values) => put::<Int64Type>(writer.typed(), values)?,
            Column::Number(values) => put::<DoubleType>(writer.typed(), values)?,
        }
        writer.close()?;
    }
    group.close()?;
    file.close()?;
    Ok(bytes)
}

fn put<T: parquet::data_type::DataType>(
    writer: &mut parquet::column::writer::ColumnWriterImpl<'_, T>,
    values: Vec<Option<T::T>>,
) -> std::result::Result<(), ParquetError> {
    let there: Vec<i16> = values.iter().map(|value| value.is_some().into()).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    writer.write_batch(&values, Some(&there), None).map(drop)
}

/// Whole numbers where all are, numbers where all are, else text.
fn column(records: &[Record], name: &str) -> Column {
    let values: Vec<&Value> = records.iter().map(|record| record.get(name).unwrap_or(&Value::Null)).collect();
    let all = |is: &dyn Fn(&Value) -> bool| values.iter().all(|v| v.is_null() || is(v)) && values.iter().any(|v| is(v));
    if all(&Value::is_i64) {
        return Column::Integer(values.iter().map(|v| v.as_i64()).collect());
    }
    if all(&Value::is_number) {
        return Column::Number(values.iter().map(|v| v.as_f64()).collect());
    }
    let text = |v: &&Value| match v {
        Value::Null => None,
        Value::String(text) => Some(text.as_str().into()),
        other => Some(other.to_string().as_str().into()),
    };
    Column::Text(values.iter().map(text).collect())
}

impl Column {
    fn field(&self, name: &str) -> std::result::Result<Type, ParquetError> {
        let (kind, logical) = match self {
            Self::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Integer(_) => (Physical::INT64, None),
            Self::Number(_) => (Physical::DOUBLE, None),
        };
        let builder = Type::primitive_type_builder(name, kind).with_repetition(Repetition::OPTIONAL);
        builder.with_logical_type(logical).build()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::{Field, Row},
    };
    use serde_json::json;

    use super::*;

    fn value(row: &Row) -> Value {
        let plain = |field: &Field| match field {
            Field::Null => Value::Null,
            Field::Str(text) => json!(text),
            Field::Long(whole) => json!(whole),
            Field::Double(number) => json!(number),
            other => panic!("{other} is of no type that is written"),
        };
        row.get_column_iter().map(|(name, field)| (name.clone(), plain(field))).collect()
    }

    #[test]
    fn every_value_and_type_is_read_back() {
        let record = |value: Value| value.as_object().unwrap().clone();
        let records = [
            record(json!({"row": "joint", "seed": 0, "test.accuracy": 0.5, "set": null})),
            record(json!({"row": "größer, \"zitiert\"", "seed": 1, "test.accuracy": null, "set": null})),
        ];
        let bytes = to_parquet(&records).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let file = SerializedFileReader::new(file).unwrap();
        let rows: Vec<Value> = file.get_row_iter(None).unwrap().map(|row| value(&row.unwrap())).collect();
        assert_eq!(rows, records.map(Value::Object));
    }
}
