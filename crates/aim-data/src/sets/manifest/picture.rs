//! Pictures, folders of pictures, and pictures of videos.

use aim_config::{above, by_type, choice, settings, whole};

choice! {
    /// How a picture becomes a square.
    pub enum Fit {
        /// Its sides are scaled, each by its own factor.
        Squash = "squash",
        /// Its shorter side is scaled, and the middle cut out.
        Crop = "crop",
    }
}

choice! {
    /// What the values of a picture are brought to.
    pub enum Normalise {
        /// 0 to 1.
        Unit = "unit",
        /// Mean 0 and deviation 1 over ImageNet, by channel.
        Imagenet = "imagenet",
    }
}

choice! {
    /// Which of many pictures are taken.
    pub enum Choose {
        /// The first ones.
        First = "first",
        /// The middle one of each of as many equal parts.
        Spread = "spread",
    }
}

settings! {
    /// JPEG or PNG pictures as `[3, size, size]`, upright as EXIF says, scaled with antialiasing.
    pub struct Image {
        /// Length of a side.
        pub size: usize = 64 => whole(1, 4096).unit("pixels"), "ours";
        /// Way to a square: each side scaled | the middle of the scaled picture.
        pub fit: Fit = Fit::Crop => by_type(), "ours";
        /// Values: 0 to 1 | by ImageNet's mean and deviation.
        pub normalise: Normalise = Normalise::Imagenet => by_type(), "ours";
    }
}

settings! {
    /// Folders of pictures as `[3 count, size, size]`, one picture's channels after the other's; in the order of names.
    pub struct Frames {
        /// Number of pictures; a folder with fewer repeats its last one.
        pub count: usize = 1 => whole(1, 64), "ours";
        /// Pictures that are taken: the first ones | the middle of equal parts.
        pub choose: Choose = Choose::Spread => by_type(), "ours";
        /// Size and values of a picture.
        pub image: Image = Image::default() => by_type(), "ours";
    }
}

settings! {
    /// Pictures of videos as `[3 count, size, size]`, decoded by `ffmpeg`.
    pub struct Video {
        /// Number of pictures; a video with fewer repeats its last one.
        pub count: usize = 3 => whole(1, 64), "ours";
        /// Pictures a second among which they are taken.
        pub rate: f64 = 1. => above(0.).unit("per second"), "ours";
        /// Pictures that are taken: the first ones | the middle of equal parts.
        pub choose: Choose = Choose::Spread => by_type(), "ours";
        /// Size and values of a picture.
        pub image: Image = Image::default() => by_type(), "ours";
    }
}
