//! What a file says about its streams.

use std::path::Path;

use serde_json::Value;

use super::Limits;
use super::tools::Tools;
use crate::{Error, Result};

/// Streams of a file, as its headers describe them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct About {
    /// Length in seconds, where it is known.
    pub seconds: Option<f64>,
    /// Moving pictures, where it has any; the cover of a recording is none.
    pub video: Option<Moving>,
    /// Samples a second of its sound, where it has any.
    pub sound: Option<u32>,
}

/// Moving pictures of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moving {
    /// Number of columns of a picture as it is shown.
    pub width: usize,
    /// Number of rows of a picture as it is shown.
    pub height: usize,
    /// Pictures a second, on average, where it is known.
    pub rate: Option<f64>,
}

/// What a file says about its streams.
///
/// # Errors
/// No such file, one that is no media, no `ffprobe` on the PATH, a limit that is reached.
pub fn probe(path: &Path, limits: &Limits) -> Result<About> {
    let tools = Tools::found(path.display())?;
    let entries = "format=duration:stream=codec_type,width,height,avg_frame_rate,sample_rate\
                   :stream_disposition=attached_pic:stream_side_data=rotation";
    let text = Tools::output(&tools.ffprobe, &["-show_entries", entries, "-of", "json"], path, &[], limits)?;
    let fault = |problem| Error::new(path.display(), problem, "fetch the file again, or leave it out");
    let about: Value = serde_json::from_slice(&text).map_err(|error| fault(format!("ffprobe's answer: {error}")))?;
    let about = understood(&about);
    match about.video.is_some() || about.sound.is_some() {
        true => Ok(about),
        false => Err(fault("it has neither sound nor moving pictures".into())),
    }
}

/// Refuses a file whose streams all end well before the length that its header promises, after `found` seconds of one
/// stream were decoded: the program plays what is there.
///
/// # Errors
/// Less than nine tenths of the length and half a second.
pub(super) fn whole(path: &Path, found: f64, limits: &Limits) -> Result<()> {
    let Some(promised) = probe(path, limits)?.seconds else { return Ok(()) };
    let least = 0.9 * promised - 0.5;
    if found >= least {
        return Ok(());
    }
    // Sound may end before the pictures do, or the other way round.
    let last = last(path, limits)?;
    if last >= least {
        return Ok(());
    }
    let problem = format!("cut short: the header promises {promised:.2} s, the file has {:.2} s", found.max(last));
    Err(Error::new(path.display(), problem, "fetch or export the file again"))
}

/// Second at which the last packet of any stream begins.
fn last(path: &Path, limits: &Limits) -> Result<f64> {
    let tools = Tools::found(path.display())?;
    let options = ["-show_entries", "packet=pts_time:format=start_time", "-of", "default=nw=1"];
    let text = String::from_utf8_lossy(&Tools::output(&tools.ffprobe, &options, path, &[], limits)?).into_owned();
    let times = |name| text.lines().filter_map(move |line| line.strip_prefix(name)?.parse::<f64>().ok());
    let start = times("start_time=").fold(0.0, f64::max);
    Ok(times("pts_time=").fold(0.0, f64::max) - start)
}

fn understood(about: &Value) -> About {
    let streams = about["streams"].as_array().map_or(&[][..], Vec::as_slice);
    let kind = |name: &'static str| streams.iter().filter(move |stream| stream["codec_type"] == name);
    About {
        seconds: number(&about["format"]["duration"]).filter(|seconds| *seconds > 0.0),
        video: kind("video").filter(|stream| stream["disposition"]["attached_pic"] != 1).find_map(moving),
        sound: kind("audio").find_map(|stream| number(&stream["sample_rate"])).map(|rate| rate as u32),
    }
}

/// Numbers come as texts.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|number| number.is_finite())
}

fn moving(stream: &Value) -> Option<Moving> {
    let side = |name| stream[name].as_u64().and_then(|side| usize::try_from(side).ok()).filter(|side| *side > 0);
    let (width, height) = (side("width")?, side("height")?);
    let turned = stream["side_data_list"].as_array().is_some_and(|list| {
        list.iter().filter_map(|data| number(&data["rotation"])).any(|degrees| degrees.abs() % 180.0 == 90.0)
    });
    let (width, height) = if turned { (height, width) } else { (width, height) };
    Some(Moving { width, height, rate: fraction(stream["avg_frame_rate"].as_str()?) })
}

/// A rate such as `30000/1001`; `0/0` is unknown.
fn fraction(text: &str) -> Option<f64> {
    let (above, below) = text.split_once('/')?;
    let rate = above.parse::<f64>().ok()? / below.parse::<f64>().ok()?;
    Some(rate).filter(|rate| rate.is_finite() && *rate > 0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{About, Moving, understood};

    #[test]
    fn the_answer_of_the_program_is_understood() {
        let answer = json!({
            "streams": [
                {"codec_type": "data", "avg_frame_rate": "0/0"},
                {"codec_type": "audio", "sample_rate": "44100"},
                {"codec_type": "video", "width": 480, "height": 360, "avg_frame_rate": "30000/1001"},
            ],
            "format": {"duration": "2.235000"},
        });
        let video = Moving { width: 480, height: 360, rate: Some(30_000.0 / 1001.0) };
        assert_eq!(understood(&answer), About { seconds: Some(2.235), video: Some(video), sound: Some(44_100) });
    }

    #[test]
    fn covers_are_no_video_and_turned_pictures_are_as_shown() {
        let answer = json!({"streams": [
            {"codec_type": "video", "width": 300, "height": 300, "avg_frame_rate": "0/0",
             "disposition": {"attached_pic": 1}},
            {"codec_type": "video", "width": 640, "height": 480, "avg_frame_rate": "0/0",
             "side_data_list": [{"rotation": -90}]},
        ]});
        let video = Moving { width: 480, height: 640, rate: None };
        assert_eq!(understood(&answer), About { seconds: None, video: Some(video), sound: None });
        assert_eq!(understood(&json!({})), About { seconds: None, video: None, sound: None });
    }
}
