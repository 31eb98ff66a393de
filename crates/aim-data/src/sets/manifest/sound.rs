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
        /// Length that every recording is brought to: longer ones are cut at the end.
        pub seconds: f64 = 3. => above(0.).unit("seconds"), "ours";
        /// Recordings that are too short: repeated | followed by silence.
        pub short: Length = Length::Pad => by_type(), "ours";
        /// Form: waveform | logarithm of a short-time Fourier transform | of SciPy's power density | Kaldi's log mel
        /// filter bank.
        pub front: Front = Front::LogStft => by_type(), "ours";
        /// Length of the Fourier transform.
        pub n_fft: usize = 512 => whole(2, 65_536).unit("samples"), "ours";
        /// Distance of two frames of the Fourier transform.
        pub hop: usize = 353 => at_least(1).unit("samples"), "ours";
        /// Number of filters of the filter bank.
        pub bins: usize = 128 => whole(1, 1024), "ours";
        /// Values of each recording: as they are | mean 0, deviation 1 | by the numbers of audio-visual recipes.
        pub scale: Scale = Scale::None => by_type(), "ours";
    }
}
