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
        /// -1 to 1, as Google's vision transformers read them.
        Signed = "signed",
        /// Mean 0 and deviation 1 over ImageNet, by channel.
        Imagenet = "imagenet",
    }
}

choice! {
    /// Random regions of pictures, mirrored every second time, by torchvision's `RandomResizedCrop` and
    /// `RandomHorizontalFlip`; in training alone.
    pub enum Augment {
        /// Pictures are left as they are.
        None = "none",
        /// One region for all pictures of a sample.
        Together = "together",
        /// A region for each picture of a sample.
        Each = "each",
    }
}

choice! {
    /// Which of many pictures are taken.
    pub enum Choose {
        /// The first ones.
        First = "first",
        /// The middle one of each of as many equal parts.
        Spread = "spread",
        /// In training a random one of each of as many equal parts, otherwise the middle one.
        Segment = "segment",
        /// Random ones in their order, drawn anew for each showing in training; otherwise always the same ones.
        Random = "random",
        /// Random ones in their order, drawn once for each sample.
        Once = "once",
    }
}

choice! {
    /// Where several pictures of a sample stand.
    pub enum Stack {
        /// In its channels, `[3 count, size, size]`.
        Channels = "channels",
        /// On an axis of their own, `[3, count, size, size]`, as networks for video read them.
        Time = "time",
    }
}

settings! {
    /// JPEG or PNG pictures as `[3, size, size]`, upright as EXIF says, scaled with antialiasing.
    pub struct Image {
        /// Length of a side.
        pub size: usize = 64 => whole(1, 4096).unit("pixels"), "ours";
        /// Way to a square: each side scaled | the middle of the scaled picture.
        pub fit: Fit = Fit::Crop => by_type(), "ours";
        /// Values: 0 to 1 | -1 to 1 | by ImageNet's mean and deviation.
        pub normalise: Normalise = Normalise::Imagenet => by_type(), "ours";
        /// Random regions and mirror images in training: none | one draw for all pictures of a sample | one for each.
        pub augment: Augment = Augment::None => by_type(), "ours";
    }
}

settings! {
    /// Folders of pictures, in the order of names.
    pub struct Frames {
        /// Number of pictures; a folder with fewer repeats its last one.
        pub count: usize = 1 => whole(1, 64), "ours";
        /// Pictures that are taken: the first ones | the middle of equal parts | one of each part, random in training |
        /// random ones | random ones, drawn once.
        pub choose: Choose = Choose::Spread => by_type(), "ours";
        /// Where they stand: in the channels | on an axis of their own.
        pub stack: Stack = Stack::Channels => by_type(), "ours";
        /// Size and values of a picture.
        pub image: Image = Image::default() => by_type(), "ours";
    }
}

settings! {
    /// Pictures of videos, decoded by `ffmpeg`.
    pub struct Video {
        /// Number of pictures; a video with fewer repeats its last one.
        pub count: usize = 3 => whole(1, 64), "ours";
        /// Pictures a second among which they are taken.
        pub rate: f64 = 1. => above(0.).unit("per second"), "ours";
        /// Pictures that are taken: the first ones | the middle of equal parts | one of each part, random in training |
        /// random ones | random ones, drawn once.
        pub choose: Choose = Choose::Spread => by_type(), "ours";
        /// Where they stand: in the channels | on an axis of their own.
        pub stack: Stack = Stack::Channels => by_type(), "ours";
        /// Size and values of a picture.
        pub image: Image = Image::default() => by_type(), "ours";
    }
}
