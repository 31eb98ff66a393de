//! Pictures of a video.

use std::collections::BTreeSet;
use std::path::Path;

use super::Limits;
use super::probe::whole;
use super::tools::Tools;
use crate::audio::Part;
use crate::image::Picture;
use crate::{Error, Result};

/// Ticks a second to which wanted times are rounded.
const TICKS: f64 = 1000.0;
/// Most times that are looked up in one pass.
const TIMES: usize = 4096;

/// Pictures that are wanted of a video.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    /// When they are shown.
    pub moments: Moments,
    /// Part of the video that is looked at.
    pub part: Part,
    /// Length to which the shorter side is reduced where it is longer, in pixels.
    pub short_side: Option<usize>,
}

/// Times of pictures.
#[derive(Clone, Debug, PartialEq)]
pub enum Moments {
    /// So many a second, chosen as by `ffmpeg -vf fps=RATE`.
    Rate(f64),
    /// Those shown at these seconds from the start of the part, to the nearest millisecond; the last picture is shown
    /// for a second longer than the video lasts.
    Times(Vec<f64>),
}

/// Pictures of a file's first stream of moving pictures.
///
/// Times are counted from its first picture, wherever the sound begins. The video is decoded from its beginning to the
/// last wanted picture: parts of one long file cost less when it is cut once before.
///
/// # Errors
/// No `ffmpeg` on the PATH, a file without video that it decodes, a file that is cut short, a time at which nothing is
/// shown, a limit that is reached.
pub fn frames(path: &Path, wanted: &Frames, limits: &Limits) -> Result<Vec<Picture>> {
    let place = path.display().to_string();
    wanted.check(&place)?;
    let tools = Tools::found(&place)?;
    let arguments = wanted.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let bytes = Tools::output(&tools.ffmpeg, &["-nostdin", "-threads", "1"], path, &arguments, limits)?;
    let pictures = pictures(&bytes).ok_or_else(|| {
        Error::new(&place, "the pictures that ffmpeg gives cannot be read", "install another version of ffmpeg")
    })?;
    match &wanted.moments {
        Moments::Rate(_) if pictures.is_empty() => {
            Err(Error::new(place, "no picture in the wanted part", "give a part within the video"))
        }
        Moments::Rate(rate) => {
            if wanted.part == Part::default() {
                // Rounding may take half a period from either end.
                whole(path, (pictures.len() as f64 + 1.0) / rate, limits)?;
            }
            Ok(pictures)
        }
        Moments::Times(times) => wanted.arranged(&pictures, times, &place),
    }
}

impl Frames {
    fn check(&self, place: &str) -> Result<()> {
        self.part.check(place)?;
        let fault = |problem: String, remedy| Err(Error::new(place, problem, remedy));
        if self.short_side == Some(0) {
            return fault("a shorter side of 0 pixels".into(), "give at least 1 pixel, or none for the full size");
        }
        match &self.moments {
            Moments::Rate(rate) if !(rate.is_finite() && *rate > 0.0) => {
                fault(format!("{rate} pictures a second are no rate"), "give a positive number")
            }
            Moments::Times(times) if times.is_empty() || times.len() > TIMES => {
                fault(format!("{} times are wanted", times.len()), "give 1 to 4096 times")
            }
            Moments::Times(times) => match times.iter().find(|time| !(0.0..=self.length()).contains(*time)) {
                Some(time) => {
                    fault(format!("{time} s is no time in the part"), "give seconds from the start of the part")
                }
                None => Ok(()),
            },
            Moments::Rate(_) => Ok(()),
        }
    }

    /// Length of the part in seconds, as far as it is known.
    fn length(&self) -> f64 {
        self.part.end.map_or(f64::MAX, |end| end - self.part.from())
    }

    /// Arguments behind the file.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = words("-map 0:V:0 -filter_threads 1 -vf");
        arguments.push(self.filter());
        if let Moments::Times(_) = self.moments {
            // One picture a second, as the filter numbers them: otherwise the gaps would be filled.
            arguments.extend(words("-r 1"));
        }
        arguments.extend(words("-c:v ppm -f image2pipe pipe:1"));
        arguments
    }

    /// Filters of the program: the part is cut here and not by seeking, whose times depend on the container.
    fn filter(&self) -> String {
        let Part { start, end } = self.part;
        let moments = match &self.moments {
            Moments::Rate(rate) => {
                let end = end.map_or_else(String::new, |end| format!(":end={end}"));
                format!("trim=start={}{end},setpts=PTS-STARTPTS,fps={rate}", start.unwrap_or(0.0))
            }
            Moments::Times(times) => {
                let chosen: Vec<_> = self.ticks(times).into_iter().collect();
                let last = times.iter().copied().fold(self.part.from(), |last, time| last.max(self.part.from() + time));
                format!(
                    "trim=end={},tpad=stop_mode=clone:stop_duration=1,fps={TICKS}:start_time=0,select='{}',\
                     settb=1,setpts=N",
                    last + 1.0,
                    any(&chosen)
                )
            }
        };
        let side = self.short_side.map_or_else(String::new, |side| {
            format!("w='if(lte(iw,ih),min(iw,{side}),-1)':h='if(lte(iw,ih),-1,min(ih,{side}))':")
        });
        let scale = format!("scale={side}flags=bicubic+accurate_rnd+full_chroma_int+bitexact,format=rgb24");
        format!("setpts=PTS-STARTPTS,{moments},{scale}")
    }

    /// Number of the tick of a time within the part.
    fn tick(&self, time: f64) -> u64 {
        ((self.part.from() + time) * TICKS).round() as u64
    }

    fn ticks(&self, times: &[f64]) -> BTreeSet<u64> {
        times.iter().map(|time| self.tick(*time)).collect()
    }

    /// The pictures, which come in the order of time and each once, as they were asked for.
    fn arranged(&self, pictures: &[Picture], times: &[f64], place: &str) -> Result<Vec<Picture>> {
        let ticks = self.ticks(times);
        let found = |time: &f64| pictures.get(ticks.range(..self.tick(*time)).count()).cloned();
        let fault = || {
            let (few, many) = (pictures.len(), ticks.len());
            let problem =
                format!("at {few} of {many} wanted times a picture is shown, the video ends before the others");
            Error::new(place, problem, "give times within the video")
        };
        times.iter().map(found).collect::<Option<_>>().ok_or_else(fault)
    }
}

/// Expression for a number that is one of the given ticks. The program refuses sums of more than a hundred terms, so
/// that halves are added up.
fn any(ticks: &[u64]) -> String {
    match ticks {
        [] => "0".into(),
        [tick] => format!("eq(n,{tick})"),
        _ => {
            let (first, second) = ticks.split_at(ticks.len() / 2);
            format!("({}+{})", any(first), any(second))
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(String::from).collect()
}

/// Pictures that follow one another as PPM: `P6`, columns, rows, 255, and the values.
fn pictures(mut bytes: &[u8]) -> Option<Vec<Picture>> {
    let mut pictures = Vec::new();
    while !bytes.is_empty() {
        let mut numbers = [0; 2];
        bytes = bytes.strip_prefix(b"P6")?;
        for number in &mut numbers {
            (*number, bytes) = whole_number(bytes)?;
        }
        let (255, rest) = whole_number(bytes)? else { return None };
        let values = rest.get(1..)?;
        let [width, height] = numbers;
        let (rgb, rest) = values.split_at_checked(width.checked_mul(height)?.checked_mul(3)?)?;
        pictures.push(Picture::new(width, height, rgb.to_vec()).ok()?);
        bytes = rest;
    }
    Some(pictures)
}

/// A number behind blanks, and what follows it.
fn whole_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let bytes = bytes.trim_ascii_start();
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = bytes.split_at(digits);
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::{Frames, Moments, pictures};
    use crate::audio::Part;
    use crate::image::Picture;

    fn grey(value: u8) -> Picture {
        Picture::new(1, 1, vec![value; 3]).unwrap()
    }

    #[test]
    fn pictures_behind_each_other_are_told_apart() {
        let bytes = b"P6\n2 1\n255\nabcdefP6\n1 1\n255\n\n\n\n";
        let wanted = [Picture::new(2, 1, b"abcdef".to_vec()).unwrap(), grey(b'\n')];
        assert_eq!(pictures(bytes).unwrap(), wanted);
        for length in [1, 9, 12, bytes.len() - 1] {
            assert!(pictures(&bytes[..length]).is_none(), "{length} bytes");
        }
        assert!(pictures(b"P6\n99999999999 99999999999\n255\nabc").is_none());
        assert!(pictures(b"").unwrap().is_empty());
    }

    #[test]
    fn pictures_come_in_the_order_in_which_they_were_asked_for() {
        // Three different times, in the order of time 0.1, 0.5, 2.
        let given = vec![grey(1), grey(2), grey(3)];
        let wanted = [grey(3), grey(1), grey(2), grey(3)];
        let frames = Frames { moments: Moments::Rate(1.0), part: Part::default(), short_side: None };
        assert_eq!(frames.arranged(&given, &[2.0, 0.1, 0.5, 2.0004], "").unwrap(), wanted);
        let message = frames.arranged(&given[..2], &[2.0, 0.1, 0.5], "a.mp4").unwrap_err().to_string();
        assert!(message.starts_with("a.mp4: at 2 of 3 wanted times"), "{message}");
    }

    #[test]
    fn wishes_that_mean_nothing_are_refused() {
        let moments = [Moments::Rate(0.0), Moments::Rate(f64::NAN), Moments::Times(vec![]), Moments::Times(vec![-1.0])];
        for moments in moments {
            let wanted = Frames { moments, part: Part::default(), short_side: None };
            assert!(wanted.check("a.mp4").unwrap_err().to_string().starts_with("a.mp4: "));
        }
    }
}
