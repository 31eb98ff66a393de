//! Data sets and weights of the Hugging Face Hub, which a server on the loopback interface stands for.
#![cfg(all(feature = "hub", feature = "media"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use aim_data::{Dataset, Source, WeightsFile, builtin, load};
use candle_core::Device;
use parquet::{
    basic::{LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, Int64Type},
    file::{metadata::KeyValue, properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::Type,
};
use serde_json::{Value, json};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// In place of a file that the Hub does not hand out.
const FORBIDDEN: &[u8] = b"forbidden";

/// What the Hub has: files of data sets by `OWNER/NAME/PATH`, those of models by their address, and the requests that
/// it has answered.
#[derive(Clone)]
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: format!("http://{}", listener.local_addr().unwrap()), asked: Arc::default() };
        let (asked, files) = (Arc::clone(&server.asked), Arc::new(files));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (asked, files) = (Arc::clone(&asked), Arc::clone(&files));
                std::thread::spawn(move || answer(&stream.unwrap(), &files, &asked));
            }
        });
        server
    }
}

/// Answers one request and closes.
fn answer(stream: &TcpStream, files: &BTreeMap<String, Vec<u8>>, asked: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream).lines();
    let Some(Ok(first)) = lines.next() else { return };
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    asked.lock().unwrap().push(first.clone());
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap().replace("%2F", "/"));
    let body = if let Some(rest) = path.strip_prefix("/api/datasets/") {
        let (id, _) = rest.split_once("/revision/refs/convert/parquet").unwrap();
        let own = files.keys().filter_map(|name| name.strip_prefix(&format!("{id}/")));
        let siblings: Vec<Value> = own.map(|name| json!({"rfilename": name})).collect();
        let there = !siblings.is_empty();
        there.then(|| json!({"id": id, "sha": COMMIT, "siblings": siblings}).to_string().into_bytes())
    } else {
        let name = path.trim_start_matches("/datasets/").replace("/resolve/refs/convert/parquet", "");
        files.get(name.trim_start_matches('/')).cloned()
    };
    let (status, body) = match body {
        None => ("404 Not Found", vec![]),
        Some(body) if body == FORBIDDEN => ("403 Forbidden", vec![]),
        Some(body) => ("200 OK", body),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"{:08x}\"\r\nX-Repo-Commit: {COMMIT}\r\nConnection: close\r\n\r\n",
        body.len(),
        crc32fast::hash(&[path.as_bytes(), &body[..]].concat()),
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes()).unwrap();
    if method == "GET" {
        stream.write_all(&body).unwrap();
    }
}

/// A gray picture of one level, in PNG.
fn picture(side: u32, level: u8) -> Vec<u8> {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels = vec![level; (side * side) as usize];
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

/// A row: a picture, a caption, a class.
type Row = (Option<Vec<u8>>, Option<&'static str>, i64);

/// A file as the Hub's library `datasets` writes it, with the names of its classes.
fn parquet(rows: &[Row], names: &[&str]) -> Vec<u8> {
    let primitive = |name: &str, kind, logical| {
        let builder = Type::primitive_type_builder(name, kind).with_repetition(Repetition::OPTIONAL);
        Arc::new(builder.with_logical_type(logical).build().unwrap())
    };
    let bytes = primitive("bytes", Physical::BYTE_ARRAY, None);
    let path = primitive("path", Physical::BYTE_ARRAY, Some(LogicalType::String));
    let image = Type::group_type_builder("image").with_repetition(Repetition::OPTIONAL).with_fields(vec![bytes, path]);
    let caption = primitive("caption", Physical::BYTE_ARRAY, Some(LogicalType::String));
    let fields = vec![Arc::new(image.build().unwrap()), caption, primitive("label", Physical::INT64, None)];
    let schema = Type::group_type_builder("schema").with_fields(fields).build().unwrap();
    let features = json!({"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}});
    let note = KeyValue::new("huggingface".into(), features.to_string());
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![note])).build();
    let mut out = vec![];
    let mut file = SerializedFileWriter::new(&mut out, Arc::new(schema), Arc::new(properties)).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut texts = |values: Vec<Option<ByteArray>>, depth: i16| {
        let levels: Vec<i16> = values.iter().map(|value| if value.is_some() { depth } else { 0 }).collect();
        let there: Vec<ByteArray> = values.into_iter().flatten().collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&there, Some(&levels), None).unwrap();
        column.close().unwrap();
    };
    texts(rows.iter().map(|row| row.0.clone().map(ByteArray::from)).collect(), 2);
    texts(rows.iter().map(|row| row.0.as_ref().map(|_| "a.png".into())).collect(), 2);
    texts(rows.iter().map(|row| row.1.map(Into::into)).collect(), 1);
    let labels: Vec<i64> = rows.iter().map(|row| row.2).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&labels, Some(&vec![1; rows.len()]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
    out
}

/// A set of pictures and captions without a validation split, whose training split has two files.
fn zoo() -> BTreeMap<String, Vec<u8>> {
    let row = |i: u8| -> Row {
        (Some(picture(4, i)), Some(["a red cat", "a red dog"][usize::from(i % 2)]), i64::from(i % 2))
    };
    let names = ["cat", "dog"];
    let first: Vec<Row> = (0..12).map(row).chain([(None, Some("a red cat"), 0)]).collect();
    let second: Vec<Row> = (20..26).map(row).chain([(Some(picture(4, 90)), None, 1)]).collect();
    let test: Vec<Row> = (30..34).map(row).collect();
    let unlabelled = [(Some(picture(4, 1)), Some("a"), -1)];
    [
        ("me/zoo/plain/train/0000.parquet", parquet(&first, &names)),
        ("me/zoo/plain/train/0001.parquet", parquet(&second, &names)),
        ("me/zoo/plain/test/0000.parquet", parquet(&test, &names)),
        ("me/zoo/plain/hidden/0000.parquet", parquet(&unlabelled, &names)),
        ("me/zoo/README.md", b"x".to_vec()),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}

/// 28 x 28 pictures of ten classes for two files of one set.
fn digits(name: &str, folder: &str, shift: u8) -> Vec<(String, Vec<u8>)> {
    let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let row = |i: u8| -> Row { (Some(picture(28, 100 * shift + i)), None, i64::from(i % 10)) };
    [("train", 0..40), ("test", 40..60)]
        .map(|(split, range)| {
            let rows: Vec<Row> = range.map(row).collect();
            (format!("{name}/{folder}/{split}/0000.parquet"), parquet(&rows, &names))
        })
        .into()
}

/// The values of a modality of a sample, and whether the sample has it.
fn values(split: &dyn Source, modality: usize, sample: usize) -> (Vec<f32>, bool) {
    let input = split.input(modality, &[sample], &Device::Cpu).unwrap();
    (input.values.flatten_all().unwrap().to_vec1().unwrap(), split.has(sample, modality))
}

fn read(section: &Value) -> Result<Dataset, String> {
    load(&builtin().read(section, "data").unwrap(), None).map_err(|e| e.to_string())
}

fn section() -> Value {
    json!({
        "name": "hub", "dataset": "me/zoo",
        "image": {"image": {"size": 4, "normalise": "unit"}},
        "text": {"column": "caption", "text": {"length": 4, "at_least": 1}},
    })
}

/// What a program does that reaches the server in `HF_ENDPOINT`; run by the tests, as the address and the cache are the
/// environment's.
#[test]
#[ignore = "started by the others"]
fn program() {
    let Ok(what) = std::env::var("AIM_HUB_TEST") else { return };
    match what.as_str() {
        "zoo" => reads_the_zoo(),
        "wrong" => tells_what_is_wrong(),
        "halves" => reads_halves(),
        "held-out" => reads_validation("dev", 2),
        "own" => reads_validation("validation", 4),
        "described" => finds_weights(true),
        "bare" => finds_weights(false),
        "refused" => tells_what_is_not_handed_out(),
        other => unreachable!("{other}"),
    }
}

fn reads_the_zoo() {
    let set = read(&section()).unwrap();
    assert_eq!((set.name.as_str(), &set.modalities[..]), ("zoo", &["image".to_owned(), "text".to_owned()][..]));
    assert_eq!(set.class_names, ["cat", "dog"]);
    // A tenth of 10 cats and of 10 dogs.
    assert_eq!([set.train.len(), set.validation.len(), set.test.len()], [18, 2, 4]);
    assert_eq!(set.test.ids(), ["test.0", "test.1", "test.2", "test.3"]);
    assert_eq!(set.test.labels(), [0, 1, 0, 1]);
    assert_eq!(values(&*set.test, 0, 1), (vec![31. / 255.; 48], true));
    let all = [&set.train, &set.validation];
    let find = |id: &str| {
        let at = |split: &&Arc<dyn Source>| split.ids().iter().position(|own| own == id).map(|i| ((*split).clone(), i));
        all.iter().find_map(at).unwrap()
    };
    let (split, i) = find("train.12");
    assert!(!values(&*split, 0, i).1 && values(&*split, 1, i).1);
    let (split, i) = find("train.19");
    assert!(!values(&*split, 1, i).1);
    assert_eq!(values(&*split, 0, i).0, [90. / 255.; 48]);
}

/// Reads the zoo with this split for validation, which then has so many samples.
fn reads_validation(split: &str, samples: usize) {
    let mut section = section();
    section["validation"] = json!(split);
    section["test"] = json!("hidden-not");
    let error = read(&section).unwrap_err();
    assert!(error.contains("no split `hidden-not`"), "{error}");
    section["test"] = json!("test");
    assert_eq!(read(&section).unwrap().validation.len(), samples);
}

fn tells_what_is_wrong() {
    let with = |key: &str, value: &str| {
        let mut section = section();
        section[key] = json!(value);
        read(&section).unwrap_err()
    };
    let error = with("label", "class");
    assert!(error.contains("has no column `class`, only image, caption, label; name another one"), "{error}");
    let error = with("test", "hidden");
    assert!(error.contains("row 0, `label`: is no class; name a split whose samples have classes"), "{error}");
    assert!(with("test", "final").contains("no split `final` in Parquet, only hidden, test, train"));
    assert!(with("dataset", "me/none").starts_with("data set `me/none`: "));
}

fn reads_halves() {
    let halves =
        |of: &str| read(&json!({"name": "halves", "of": of, "train": 20, "validation": 10, "test": 12})).unwrap();
    let set = halves("mnist");
    assert_eq!(set.shapes(), [[1, 28, 14]; 2]);
    assert_eq!([set.train.len(), set.validation.len(), set.test.len()], [20, 10, 12]);
    // A picture of one level has equal halves, which are told apart by the level.
    let (left, right) = (values(&*set.train, 0, 3).0, values(&*set.train, 1, 3).0);
    assert!(left == right && left.iter().all(|v| *v == left[0]));
    let pairs = halves("pairs");
    assert_eq!(pairs.shapes(), [[1, 28, 28]; 2]);
    for split in [&pairs.train, &pairs.validation, &pairs.test] {
        for (id, label) in split.ids().iter().zip(split.labels()) {
            let (digit, garment) = id.trim_start_matches(|c: char| c.is_alphabetic()).split_once('+').unwrap();
            let class = |i: &str| i.parse::<u32>().unwrap() % 10;
            assert_eq!([class(digit), class(garment)], [*label; 2], "{id}");
        }
    }
    assert_eq!(halves("fashion-mnist").name, "halves");
}

/// A file of weights.
fn weights() -> WeightsFile<'static> {
    WeightsFile { file: Path::new("vit/model.safetensors"), hub: Some("me/net"), revision: Some("v1") }
}

/// A model with what describes it in the revision `v1`.
fn net(description: Option<&[u8]>) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([
        ("me/net/resolve/v1/vit/model.safetensors".to_owned(), b"weights".to_vec()),
        ("me/net/resolve/main/vit/preprocessor_config.json".to_owned(), b"another revision's".to_vec()),
        ("me/net/resolve/v1/preprocessor_config.json".to_owned(), b"another model's".to_vec()),
    ]);
    let name = "me/net/resolve/v1/vit/preprocessor_config.json".to_owned();
    files.extend(description.map(|description| (name, description.to_vec())));
    files
}

fn finds_weights(described: bool) {
    let found = weights().locate(None).unwrap();
    assert_eq!(std::fs::read(&found).unwrap(), b"weights");
    let beside = std::fs::read(found.with_file_name(WeightsFile::PREPROCESSOR)).ok();
    assert_eq!(beside.as_deref(), described.then_some(&b"description"[..]));
}

fn tells_what_is_not_handed_out() {
    let error = weights().locate(None).unwrap_err().to_string();
    let said = "vit/model.safetensors of me/net: preprocessor_config.json beside it cannot be fetched: ";
    assert!(error.starts_with(said) && error.contains("HF_TOKEN"), "{error}");
}

/// Whether the program went well with this Hub, and what it said.
fn run(what: &str, home: &Path, endpoint: &str) -> (bool, String) {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--ignored", "--exact", "program", "--nocapture"]).env("AIM_HUB_TEST", what);
    program.env("HF_HOME", home).env("HF_ENDPOINT", endpoint).env_remove("HF_HUB_CACHE").env_remove("HF_TOKEN");
    let output = program.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn well(what: &str, home: &Path, endpoint: &str) {
    let (well, said) = run(what, home, endpoint);
    assert!(well, "{said}");
}

/// Where nobody listens.
const NOBODY: &str = "http://127.0.0.1:9";

#[test]
fn a_set_is_fetched_once_and_then_read_from_the_cache() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(zoo());
    assert!(!run("zoo", home.path(), NOBODY).0);
    well("zoo", home.path(), &server.address);
    let asked = server.asked.lock().unwrap().clone();
    assert!(asked.iter().any(|line| line.starts_with("GET") && line.contains("train/0001.parquet")), "{asked:?}");
    // Neither the splits that are not read nor what is no table.
    assert!(!asked.iter().any(|line| line.contains("hidden/") || line.contains("README")), "{asked:?}");
    well("zoo", home.path(), NOBODY);
    // What is unpacked is made of the cache, too.
    std::fs::remove_dir_all(home.path().join("assets")).unwrap();
    well("zoo", home.path(), NOBODY);
    assert_eq!(server.asked.lock().unwrap().len(), asked.len());
}

#[test]
fn a_split_whose_fetching_was_stopped_is_fetched_to_its_end() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(zoo());
    well("zoo", home.path(), &server.address);
    let snapshot = home.path().join("hub/datasets--me--zoo/snapshots").join(COMMIT);
    // With what the Hub said of the set, and without.
    for (file, list) in [("0000", false), ("0000", true), ("0001", true)] {
        if !list {
            std::fs::remove_dir_all(home.path().join("assets")).unwrap();
        }
        std::fs::remove_file(snapshot.join(format!("plain/train/{file}.parquet"))).unwrap();
        assert!(!run("zoo", home.path(), NOBODY).0, "{file}, {list}");
        well("zoo", home.path(), &server.address);
    }
}

#[test]
fn the_cache_of_another_choice_of_splits_is_not_taken_for_the_set() {
    let home = tempfile::tempdir().unwrap();
    let mut files = zoo();
    let row = |i: u8| -> Row { (Some(picture(4, i)), Some("a red cat"), i64::from(i % 2)) };
    let own: Vec<Row> = (40..44).map(row).collect();
    files.insert("me/zoo/plain/validation/0000.parquet".into(), parquet(&own, &["cat", "dog"]));
    let server = Server::start(files);
    // No split of this name, so that validation is held out of training; then the set's own is asked for.
    well("held-out", home.path(), &server.address);
    well("own", home.path(), &server.address);
    well("own", home.path(), NOBODY);
}

#[test]
fn what_a_set_does_not_have_is_told() {
    let home = tempfile::tempdir().unwrap();
    well("wrong", home.path(), &Server::start(zoo()).address);
}

#[test]
fn halves_and_pairs_of_pictures() {
    let home = tempfile::tempdir().unwrap();
    let mnist = digits("ylecun/mnist", "mnist", 0);
    let fashion = digits("zalando-datasets/fashion_mnist", "fashion_mnist", 1);
    well("halves", home.path(), &Server::start(mnist.into_iter().chain(fashion).collect()).address);
    // From the cache.
    well("halves", home.path(), NOBODY);
}

#[test]
fn what_describes_a_model_is_fetched_with_its_weights_and_then_read_from_the_cache() {
    for (what, description) in [("described", Some(&b"description"[..])), ("bare", None)] {
        let home = tempfile::tempdir().unwrap();
        let server = Server::start(net(description));
        well(what, home.path(), &server.address);
        let asked = server.asked.lock().unwrap().len();
        well(what, home.path(), &server.address);
        well(what, home.path(), NOBODY);
        assert_eq!(server.asked.lock().unwrap().len(), asked, "{what}: what is in the cache is not asked for");
    }
}

#[test]
fn weights_whose_description_cannot_be_fetched_are_fetched_with_it_the_next_time() {
    let home = tempfile::tempdir().unwrap();
    well("refused", home.path(), &Server::start(net(Some(FORBIDDEN))).address);
    well("described", home.path(), &Server::start(net(Some(b"description"))).address);
}
