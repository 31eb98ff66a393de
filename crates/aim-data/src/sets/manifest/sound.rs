//! Recordings as waveforms or pictures of frequency over time.

use aim_config::{above, at_least, by_type, choice, settings, whole};

choice! {
    /// What becomes of recordings that are too short.
    pub enum Length {
        /// They are repeated.
        Tile = "tile",
        /// Silence follows.
        Pad = "pad",
    }
}

choice! {
    /// Which piece of a longer recording is taken.
    pub enum Piece {
        /// Its beginning.
        Start = "start",
        /// A random one, drawn once for each sample.
        Once = "once",
        /// A random one, drawn anew for each showing in training; otherwise always the same.
        Random = "random",
    }
}

choice! {
    /// What lies beyond the ends of a recording for the frames of a Fourier transform.
    pub enum Ends {
        /// Silence, as librosa from 0.10 on has it.
        Silence = "silence",
        /// The recording mirrored, as librosa before 0.10 has it.
        Mirror = "mirror",
    }
}

choice! {
    /// What a network sees of a sound.
    pub enum Front {
        /// Samples `[1, samples]`.
        Waveform = "waveform",
        /// Logarithm of the magnitude of a short-time Fourier transform `[1, n_fft / 2 + 1, frames]`.
        LogStft = "log-stft",
        /// Logarithm of SciPy's power density `[1, n_fft / 2 + 1, frames]`.
        Density = "density",
        /// Kaldi's log mel filter bank `[1, frames, bins]`.
        Fbank = "fbank",
    }
}

choice! {
    /// What each recording's values are brought to.
    pub enum Scale {
        /// They are left as they are.
        None = "none",
        /// Mean 0 and standard deviation 1.
        Clip = "clip",
        /// (x + 4.503877) / (2 * 5.141276), as audio-visual recipes scale a filter bank.
        Audioset = "audioset",
    }
}

settings! {
    /// Sound of recordings or videos, in mono: WAV, FLAC, MP3, Ogg Vorbis and AIFF by themselves, whatever else needs
    /// `ffmpeg`.
    pub struct Audio {
        /// Samples a second after resampling.
        pub rate: u32 = 16_000 => whole(1000, 384_000).unit("Hz"), "ours";
        /// Length that every recording is brought to: of longer ones a piece is taken.
        pub seconds: f64 = 3. => above(0.).unit("seconds"), "ours";
        /// Piece of a longer recording: the beginning | a random one, drawn once | a random one, drawn anew in
        /// training.
        pub piece: Piece = Piece::Start => by_type(), "ours";
        /// Length among which a piece is drawn: shorter recordings are first brought to it, longer ones cut.
        pub within: Option<f64> = None => above(0.).unit("seconds").shown("the recording's own"), "ours";
        /// Recordings that are too short: repeated | followed by silence.
        pub short: Length = Length::Pad => by_type(), "ours";
        /// Form: waveform | logarithm of a short-time Fourier transform | of SciPy's power density | Kaldi's log mel
        /// filter bank.
        pub front: Front = Front::LogStft => by_type(), "ours";
        /// Length of the Fourier transform.
        pub n_fft: usize = 512 => whole(2, 65_536).unit("samples"), "ours";
        /// Distance of two frames of the Fourier transform.
        pub hop: usize = 353 => at_least(1).unit("samples"), "ours";
        /// Beyond the ends of a recording, for the frames of the Fourier transform: silence | the recording mirrored.
        pub ends: Ends = Ends::Silence => by_type(), "ours";
        /// Number of filters of the filter bank.
        pub bins: usize = 128 => whole(1, 1024), "ours";
        /// Frames that the filter bank of a recording in its own length is cut or filled with zeros to, in place of
        /// `seconds`.
        pub frames: Option<usize> = None => whole(1, 100_000).shown("those of `seconds`"), "ours";
        /// Whether samples beyond -1 to 1, which another rate can bring, are moved to these.
        pub clip: bool = false => by_type(), "ours";
        /// Values of each recording: as they are | mean 0, deviation 1 | by the numbers of audio-visual recipes.
        pub scale: Scale = Scale::None => by_type(), "ours";
    }
}
