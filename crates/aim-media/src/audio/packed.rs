//! Formats whose samples are packed, by symphonia.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::{Error as Fault, Result as Outcome};
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo, Track, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::default::formats::{AiffReader, FlacReader, MpaReader, OggReader, WavReader};
use symphonia::default::get_codecs;

use super::mixer::Mixer;
use super::{Format, Options, Sound, format, ogg, wav};
use crate::{Error, Result};

/// Sound of a packed file's content.
pub(super) fn decode(bytes: &[u8], format: Format, place: &str, options: &Options) -> Result<Sound> {
    let file = File { bytes: format::untagged(bytes), format, place };
    match format {
        Format::Vorbis => ogg::check(file.bytes, place)?,
        Format::Aiff => chunks(file.bytes, place)?,
        _ => {}
    }
    // A decoder that gives up by a panic on damaged content ends this file only.
    catch_unwind(AssertUnwindSafe(|| file.decode(options))).unwrap_or_else(|_| Err(file.damaged("the decoder gave up")))
}

/// A file and what it holds.
struct File<'a> {
    bytes: &'a [u8],
    format: Format,
    place: &'a str,
}

impl File<'_> {
    fn decode(&self, options: &Options) -> Result<Sound> {
        let mut reader = self.open().map_err(|fault| self.fault(fault))?;
        let track = reader.first_track(TrackType::Audio).cloned();
        let track = track.ok_or_else(|| Error::new(self.place, "no sound in the file", "leave the file out"))?;
        let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio());
        let parameters = parameters.ok_or_else(|| self.damaged("its header does not say how sound is coded"))?;
        let (rate, channels) = (parameters.sample_rate.unwrap_or(0), parameters.channels.as_ref());
        let mut mixer = Mixer::new(self.place, rate, channels.map_or(0, |channels| channels.count()), options)?;
        let promised = self.promised(&track);
        mixer.promise(promised.unwrap_or(0))?;
        let wishes = AudioDecoderOptions::default().gapless(self.gapless(&track)).verify(self.format == Format::Flac);
        let mut decoder = get_codecs().make_audio_decoder(parameters, &wishes).map_err(|fault| self.fault(fault))?;
        let jumped = self.seek(reader.as_mut(), &track, &mut mixer)?;
        let complete = self.packets(reader.as_mut(), decoder.as_mut(), &mut mixer, promised)?;
        if complete && !jumped && decoder.finalize().verify_ok == Some(false) {
            return Err(self.damaged("the checksum of its samples is another"));
        }
        mixer.finish()
    }

    fn open(&self) -> Outcome<Box<dyn FormatReader + '_>> {
        let source = MediaSourceStream::new(Box::new(Cursor::new(self.bytes)), Default::default());
        let options = FormatOptions::default();
        Ok(match self.format {
            Format::Wav => Box::new(WavReader::try_new(source, options)?),
            Format::Aiff => Box::new(AiffReader::try_new(source, options)?),
            Format::Flac => Box::new(FlacReader::try_new(source, options)?),
            Format::Mp3 => Box::new(MpaReader::try_new(source, options)?),
            Format::Vorbis => Box::new(OggReader::try_new(source, options)?),
        })
    }

    /// Whether silence that the encoder added is cut off. An MP3 without a tag of LAME's says nothing about it, and its
    /// length is then an estimate by which nothing may be cut.
    fn gapless(&self, track: &Track) -> bool {
        self.format != Format::Mp3 || track.padding.is_some()
    }

    /// Number of frames that the header promises, where that is no estimate.
    fn promised(&self, track: &Track) -> Option<u64> {
        track.num_frames.filter(|_| self.gapless(track))
    }

    /// Goes to the frames that are wanted where that is exact, and tells whether it did.
    fn seek(&self, reader: &mut dyn FormatReader, track: &Track, mixer: &mut Mixer) -> Result<bool> {
        let first = mixer.first();
        if self.format != Format::Flac || first == 0 || track.num_frames.is_none_or(|frames| first >= frames) {
            return Ok(false);
        }
        let to = SeekTo::Timestamp { ts: first.cast_signed().into(), track_id: track.id };
        let found = reader.seek(SeekMode::Accurate, to).map_err(|fault| self.fault(fault))?;
        mixer.jump(found.actual_ts.get().cast_unsigned());
        Ok(true)
    }

    /// Decodes until the wanted part is there or the file ends; tells whether the file ended, as its header promises.
    fn packets(
        &self,
        reader: &mut dyn FormatReader,
        decoder: &mut dyn AudioDecoder,
        mixer: &mut Mixer,
        promised: Option<u64>,
    ) -> Result<bool> {
        let mut samples = Vec::<f32>::new();
        while !mixer.full() {
            let packet = match reader.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return self.ended(mixer, promised),
                Err(Fault::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return self.ended(mixer, promised);
                }
                Err(fault) => return Err(self.fault(fault)),
            };
            if self.format == Format::Flac && packet.pts.get() != mixer.seen().cast_signed() {
                return Err(self.damaged(&format!("samples are missing behind number {}", mixer.seen())));
            }
            let piece = decoder.decode(&packet).map_err(|fault| self.fault(fault))?;
            piece.copy_to_vec_interleaved(&mut samples);
            mixer.push(&samples)?;
        }
        Ok(false)
    }

    fn ended(&self, mixer: &Mixer, promised: Option<u64>) -> Result<bool> {
        let (found, promised) = (mixer.seen(), promised.unwrap_or(0));
        if found >= promised {
            return Ok(true);
        }
        let bytes = self.bytes.len();
        let problem = format!("cut short: the header promises {promised} samples, {found} are in the {bytes} bytes");
        Err(Error::new(self.place, problem, "fetch or export the file again"))
    }

    fn damaged(&self, what: &str) -> Error {
        Error::new(self.place, format!("the {} data are damaged: {what}", self.format.name()), "fetch the file again")
    }

    fn fault(&self, fault: Fault) -> Error {
        let name = self.format.name();
        match fault {
            Fault::Unsupported(what) => Error::new(
                self.place,
                format!("this kind of {name} is not read here ({what})"),
                "convert it to FLAC with ffmpeg",
            ),
            Fault::ResetRequired => Error::new(
                self.place,
                format!("several {name} streams follow one another"),
                "rewrite it as one with ffmpeg",
            ),
            fault => self.damaged(&fault.to_string()),
        }
    }
}

/// Refuses an AIFF file that ends before one of its chunks does.
fn chunks(bytes: &[u8], place: &str) -> Result<()> {
    let mut at = 12;
    while let Some(header) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let end = (at + 8).saturating_add(length);
        if end > bytes.len() {
            return Err(wav::short(end, bytes.len(), place));
        }
        at = end + end % 2;
    }
    Ok(())
}
