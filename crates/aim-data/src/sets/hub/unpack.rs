//! What Parquet files hold, as rows and files of this machine.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use aim_core::{Error, Result};
use hf_hub::HFClientSync;
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::{Field, Row as Record},
    schema::types::{Type, TypePtr},
};

use super::{Hub, Unpacked, snapshot::Snapshot};
use crate::{
    files::{broken, unfit},
    hub::client,
    sets::manifest::inner::{Listing, Row},
    table::Part,
};

/// Rows whose files share a folder.
const TOGETHER: usize = 1000;

/// Name of the file that lists what is unpacked; it is written last.
const LISTING: &str = "listing.json";

impl Hub {
    /// The set on this machine, fetched and unpacked if need be.
    pub(super) fn unpacked(&self) -> Result<Unpacked> {
        self.unpacked_by(&client()?)
    }

    pub(super) fn unpacked_by(&self, client: &HFClientSync) -> Result<Unpacked> {
        let snapshot = Snapshot::get(self, client)?;
        let folder = self.folder(&snapshot);
        let at = folder.join(LISTING);
        let listing = match fs::read(&at) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| unfit(&at, e.to_string(), "delete it"))?,
            Err(e) if e.kind() == ErrorKind::NotFound => self.unpack(&snapshot, &folder, &at)?,
            Err(e) => return Err(Error::io(at, e)),
        };
        Ok(Unpacked { folder, listing, modalities: self.modalities() })
    }

    /// Where libraries keep what they make of the Hub's files: `assets` beside the cache, a folder a state of the set
    /// and choice of its columns.
    fn folder(&self, snapshot: &Snapshot) -> PathBuf {
        let said = serde_json::json!([self.columns(), self.label, self.subset, self.train, self.validation, self.test]);
        let key = crc32fast::hash(said.to_string().as_bytes());
        self.asset(&snapshot.folder, &format!("-{key:08x}"))
    }

    /// Where what the Hub said of a state of the set is kept: the names of all its files.
    pub(super) fn list(&self, snapshot: &Path) -> PathBuf {
        self.asset(snapshot, "-files.json")
    }

    fn asset(&self, snapshot: &Path, ending: &str) -> PathBuf {
        let commit = snapshot.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // `CACHE/hub/datasets--OWNER--NAME/snapshots/COMMIT`
        let home = snapshot.ancestors().nth(4).unwrap_or(snapshot);
        home.join("assets").join("aim").join(self.dataset.replace('/', "--")).join(format!("{commit}{ending}"))
    }

    /// Modalities with their columns.
    fn columns(&self) -> Vec<(&'static str, String)> {
        let given = [("image", &self.image), ("audio", &self.audio), ("text", &self.text)];
        let column = |(name, section): (&'static str, &Option<_>)| {
            section.as_ref().map(|decoding: &crate::Decoding| (name, decoding.column(name).to_owned()))
        };
        given.into_iter().filter_map(column).collect()
    }

    fn unpack(&self, snapshot: &Snapshot, folder: &Path, at: &Path) -> Result<Listing> {
        let (mut rows, mut class_names) = (vec![], None);
        for (part, files) in &snapshot.splits {
            let mut number = 0;
            for path in files {
                let table = Table::open(self, path)?;
                for record in table.records()? {
                    let record = record.map_err(|e| broken(path, e.to_string()))?;
                    rows.push(table.row(&record, folder, (*part, number))?);
                    number += 1;
                }
                class_names = class_names.or(table.class_names);
            }
        }
        let listing = Listing { rows, class_names, left_out: 0 };
        let json = serde_json::to_vec(&listing).map_err(|e| broken(at, e.to_string()))?;
        write_whole(at, &json)?;
        Ok(listing)
    }
}

/// A Parquet file with the columns that are read.
struct Table<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
    columns: Vec<(&'static str, String)>,
    label: &'a str,
    class_names: Option<Vec<String>>,
}

impl<'a> Table<'a> {
    fn open(settings: &'a Hub, path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let reader = SerializedFileReader::new(file).map_err(|e| broken(path, e.to_string()))?;
        let class_names = class_names(&reader, &settings.label);
        Ok(Self { path, reader, columns: settings.columns(), label: &settings.label, class_names })
    }

    /// The rows, of which only these columns are read.
    fn records(&self) -> Result<parquet::record::reader::RowIter<'_>> {
        let schema = self.reader.metadata().file_metadata().schema();
        let wanted = self.columns.iter().map(|(_, column)| column.as_str()).chain([self.label]);
        let have: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
        if let Some(column) = wanted.clone().find(|column| !have.contains(column)) {
            let problem = format!("has no column `{column}`, only {}", have.join(", "));
            return Err(unfit(self.path, problem, "name another one as `column` of the modality, or as data.label"));
        }
        let wanted: Vec<&str> = wanted.collect();
        let fields: Vec<TypePtr> =
            schema.get_fields().iter().filter(|field| wanted.contains(&field.name())).map(Arc::clone).collect();
        let failed = |e: parquet::errors::ParquetError| broken(self.path, e.to_string());
        let part = Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(failed)?;
        self.reader.get_row_iter(Some(part)).map_err(failed)
    }

    /// A row of a split, with the files that it names.
    fn row(&self, record: &Record, folder: &Path, (part, number): (Part, usize)) -> Result<Row> {
        let split = serde_json::json!(part).as_str().unwrap_or_default().to_lowercase();
        let id = format!("{split}.{number}");
        let place = |column: &str| format!("{}: row {number}, `{column}`", self.path.display());
        let find = |column: &str| record.get_column_iter().find(|(name, _)| *name == column).map(|(_, field)| field);
        let mut cells = BTreeMap::new();
        for (modality, column) in &self.columns {
            let near = format!("{split}/{}/{number}.{modality}", number / TOGETHER);
            let cell = find(column).map_or(Ok(None), |field| cell(field, folder, &near, &place(column)))?;
            cells.insert((*modality).to_owned(), cell);
        }
        if cells.values().all(Option::is_none) {
            let problem = "has none of the modalities";
            return Err(Error::invalid(place(self.label), problem, "choose columns that have values in every row"));
        }
        let label = find(self.label).and_then(|field| self.class(field));
        let label = label.ok_or_else(|| {
            let remedy = "name a split whose samples have classes, or another column as data.label";
            Error::invalid(place(self.label), "is no class", remedy)
        })?;
        Ok(Row { line: number, id, part, label, group: None, cells, times: [None; 2] })
    }

    /// The class that a field names; none where it has no value, or the -1 of samples without one.
    fn class(&self, field: &Field) -> Option<String> {
        let number = match field {
            Field::Str(text) => return Some(text.clone()),
            Field::Bool(flag) => return Some(flag.to_string()),
            Field::Byte(n) => i64::from(*n),
            Field::Short(n) => i64::from(*n),
            Field::Int(n) => i64::from(*n),
            Field::Long(n) => *n,
            Field::UByte(n) => i64::from(*n),
            Field::UShort(n) => i64::from(*n),
            Field::UInt(n) => i64::from(*n),
            Field::ULong(n) => i64::try_from(*n).ok()?,
            _ => return None,
        };
        let index = usize::try_from(number).ok()?;
        self.class_names.as_ref().map_or(Some(number.to_string()), |names| names.get(index).cloned())
    }
}

/// Names of the classes of a column, as the Hub's libraries note them in a file.
fn class_names(reader: &SerializedFileReader<File>, label: &str) -> Option<Vec<String>> {
    let notes = reader.metadata().file_metadata().key_value_metadata()?;
    let note = notes.iter().find(|note| note.key == "huggingface")?.value.as_ref()?;
    let note: aim_config::Value = serde_json::from_str(note).ok()?;
    let names = note["info"]["features"][label]["names"].as_array()?;
    names.iter().map(|name| name.as_str().map(ToOwned::to_owned)).collect()
}

/// A cell of a manifest: the text itself, or the path of a file with the bytes.
fn cell(field: &Field, folder: &Path, near: &str, place: &str) -> Result<Option<String>> {
    let (bytes, name) = match field {
        Field::Null => return Ok(None),
        Field::Str(text) => return Ok(Some(text.clone()).filter(|text| !text.trim().is_empty())),
        Field::Bytes(bytes) => (Some(bytes.data()), None),
        Field::Group(group) => {
            let mut found = (None, None);
            if group.get_column_iter().all(|(_, field)| *field == Field::Null) {
                return Ok(None);
            }
            for (_, field) in group.get_column_iter() {
                match field {
                    Field::Bytes(bytes) => found.0 = Some(bytes.data()),
                    Field::Str(path) => found.1 = Some(path.as_str()),
                    _ => {}
                }
            }
            found
        }
        _ => (None, None),
    };
    let bytes = bytes.ok_or_else(|| {
        let remedy = "choose a column of texts, or one of pictures or recordings with their bytes";
        Error::invalid(place, "holds no bytes and no text", remedy)
    })?;
    let end = name.and_then(|name| Path::new(name).extension()?.to_str());
    let end = end.filter(|end| end.len() < 8 && end.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let cell = end.map_or_else(|| near.to_owned(), |end| format!("{near}.{end}"));
    let path = folder.join(&cell);
    // What was stopped within a file left another length.
    if fs::metadata(&path).map_or(true, |about| about.len() != bytes.len() as u64) {
        write(&path, bytes)?;
    }
    Ok(Some(cell))
}

/// Writes a file that is either whole or not there.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension("part");
    write(&part, bytes)?;
    fs::rename(part, path).map_err(|e| Error::io(path, e))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|e| Error::io(path, e))
}
