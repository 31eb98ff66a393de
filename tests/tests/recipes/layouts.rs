//! Made sets: files in the layouts of the public ones.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::clips::{CREMAD, KINETICS};

/// A sample of a made set: the words of its paths.
pub type Words = Vec<(&'static str, String)>;

/// Samples of a set, and its lists in a folder.
pub fn samples(layout: &str, folder: &Path) -> Vec<Words> {
    let write = |name: &str, text: String| write(folder, name, &text);
    match layout {
        "cremad" => CREMAD.iter().map(|id| word(&[("id", id)])).collect(),
        "kinetics-sounds" => KINETICS.iter().map(|id| word(&[("id", id)])).collect(),
        "kinetics-folders" => {
            let clip = |visual, part, class, k: usize| {
                word(&[("visual", visual), ("part", part), ("class", class), ("id", &format!("clip{class}{part}{k}"))])
            };
            let train = (0..10).flat_map(|k| ["a", "b"].map(|class| clip("train_img", "train", class, k)));
            train.chain(["a", "b"].map(|class| clip("val_img", "test", class, 0))).collect()
        }
        "ave" => {
            let line = |part: &str, k: usize| format!("{}&video{part}{k}&good&0&10\n", ["Bus", "Cat"][k % 2]);
            for part in ["train", "val", "test"] {
                write(&format!("{part}Set.txt"), (0..4).map(|k| line(part, k)).collect());
            }
            ["train", "val", "test"]
                .iter()
                .flat_map(|part| (0..4).map(move |k| vec![("video", format!("video{part}{k}"))]))
                .collect()
        }
        "ucf101" => {
            let id = |class: &str, g: usize| format!("v_{class}_g{g:02}_c01");
            let of = |groups: std::ops::Range<usize>| -> Vec<(String, String)> {
                ["Archery", "Biking"].iter().flat_map(|c| groups.clone().map(|g| ((*c).to_owned(), id(c, g)))).collect()
            };
            let list =
                |groups| of(groups).iter().map(|(class, id)| format!("{class}/{id}.avi 1\n")).collect::<String>();
            write("ucfTrainTestlist/trainlist01.txt", list(8..13));
            write("ucfTrainTestlist/testlist01.txt", list(1..3).replace(" 1\n", "\n"));
            of(8..13).into_iter().chain(of(1..3)).map(|(_, id)| vec![("id", id)]).collect()
        }
        "vggsound" => {
            let all: Vec<(String, &str)> =
                (0..24).map(|k| (format!("video{k:06}"), if k < 20 { "train" } else { "test" })).collect();
            let line = |(k, (video, part)): (usize, &(String, &str))| {
                format!("{video},{k},\"{}\",{part}\n", ["bird, chirping", "thunder"][k % 2])
            };
            write("vggsound.csv", all.iter().enumerate().map(line).collect());
            all.iter()
                .enumerate()
                .map(|(k, (video, part))| vec![("id", format!("{video}_{k:06}")), ("part", (*part).to_owned())])
                .collect()
        }
        other => texts(other, folder),
    }
}

/// The same for sets with texts.
fn texts(layout: &str, folder: &Path) -> Vec<Words> {
    let write = |name: &str, text: String| write(folder, name, &text);
    match layout {
        "food101" => {
            let mut all = vec![];
            for (part, count) in [("train", 10), ("test", 2)] {
                let files: Vec<(&str, String)> = ["apple_pie", "sushi"]
                    .iter()
                    .flat_map(|c| (0..count).map(move |k| (*c, format!("{c}_{part}{k}.jpg"))))
                    .collect();
                write(
                    &format!("texts/{part}_titles.csv"),
                    files.iter().map(|(class, file)| format!("{file},\"A title, of {class}\",{class}\n")).collect(),
                );
                all.extend(files.iter().map(|(class, file)| word(&[("part", part), ("class", class), ("file", file)])));
            }
            all
        }
        "mvsa" => {
            let pairs =
                ["positive,positive", "negative,negative", "neutral,neutral", "neutral,positive", "positive,negative"];
            write(
                "labelResultAll.txt",
                "ID\ttext,image\n".to_owned()
                    + &(1..=15).map(|id| format!("{id}\t{}\n", pairs[id % 5])).collect::<String>(),
            );
            (1..=15).map(|id| vec![("id", id.to_string())]).collect()
        }
        "mosi" => {
            let modes = ["train", "train", "train", "valid", "test"];
            let row =
                |k: usize| format!("v{k},1,\"well, it is {k}\",{},Positive,{}\n", [-2.4, 0., 1.6][k % 3], modes[k / 3]);
            write(
                "label.csv",
                "video_id,clip_id,text,label,annotation,mode\n".to_owned() + &(0..15).map(row).collect::<String>(),
            );
            (0..15).map(|k| vec![("video", format!("v{k}")), ("clip", "1".to_owned())]).collect()
        }
        other => panic!("there is no made set of layout {other}"),
    }
}

/// The words of a sample.
pub fn word(pairs: &[(&'static str, &str)]) -> Words {
    pairs.iter().map(|(k, v)| (*k, (*v).to_owned())).collect()
}

/// A file of a made set.
fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Makes the files that a recipe reads of a sample.
pub fn make(folder: &Path, decoding: &serde_json::Value, words: &Words, media: &Media) {
    let fill =
        |template: &str| words.iter().fold(template.to_owned(), |text, (k, v)| text.replace(&format!("{{{k}}}"), v));
    let column = decoding["column"].as_str().unwrap();
    let path = folder.join(fill(column));
    if decoding["text"].is_object() && decoding["text"]["files"] != true {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match path.extension().and_then(|e| e.to_str()) {
        _ if decoding["frames"].is_object() => {
            fs::create_dir_all(&path).unwrap();
            for k in 1..=5 {
                fs::copy(&media.picture, path.join(format!("{k:05}.jpg"))).unwrap();
            }
        }
        Some("txt") => fs::write(path, "so it is and so it was").unwrap(),
        Some("jpg") => copy(&media.picture, &path),
        Some("wav") => copy(&media.sound, &path),
        _ => copy(&media.film, &path),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

/// A sound, a picture and a film as the sets have them.
pub struct Media {
    sound: PathBuf,
    picture: PathBuf,
    film: PathBuf,
    _folder: tempfile::TempDir,
}

/// Makes them, once for all sets.
pub fn media() -> Media {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, arguments: &[&str]| {
        let path = folder.path().join(name);
        let status = Command::new("ffmpeg").args(["-loglevel", "error", "-y"]).args(arguments).arg(&path).status();
        assert!(status.expect("the tests of media need ffmpeg").success(), "ffmpeg makes no {name}");
        path
    };
    let (tone, test) =
        ("sine=frequency=440:sample_rate=16000:duration=1.6", "testsrc=size=480x360:rate=30:duration=1.2");
    Media {
        sound: make("a.wav", &["-f", "lavfi", "-i", tone]),
        picture: make("a.jpg", &["-f", "lavfi", "-i", test, "-frames:v", "1"]),
        film: make("a.mp4", &["-f", "lavfi", "-i", test, "-f", "lavfi", "-i", tone, "-c:v", "mpeg4", "-c:a", "aac"]),
        _folder: folder,
    }
}
