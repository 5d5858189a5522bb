//! What can be wrong with an image or a request on it.

/// An error of this crate; the text says what was found and what would do instead.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The file is larger than the limit on bytes.
    #[error("the file has {found} bytes, more than the limit of {limit}")]
    TooManyBytes { found: usize, limit: usize },
    /// The header announces more pixels than the limit.
    #[error(
        "the image is {width}x{height} px, more than the limit of {limit} pixels: cut or reduce it first"
    )]
    TooManyPixels { width: usize, height: usize, limit: usize },
    /// Neither PNG nor JPEG nor TIFF.
    #[error("not a PNG, JPEG or TIFF file (it begins with {begins})")]
    UnknownFormat { begins: String },
    /// The decoder refused the content.
    #[error("the {format} file cannot be decoded: {reason}")]
    Undecodable { format: &'static str, reason: String },
    /// The encoder refused the content.
    #[error("the image cannot be written as {format}: {reason}")]
    Unencodable { format: &'static str, reason: String },
    /// The file ends before its end marker.
    #[error("the {format} file is truncated: its end marker is missing")]
    Truncated { format: &'static str },
    /// An image that is no label map was given as one.
    #[error("not a label map: {reason}; label maps are one-channel integer PNG or TIFF files")]
    NotLabels { reason: String },
    /// A label does not fit the 16 bits of a PNG.
    #[error("label {label} does not fit a 16-bit PNG: number the labels from 1")]
    LabelTooLarge { label: u32 },
    /// Width, height, channels and data do not belong together.
    #[error("{width}x{height} px with {channels} channels need {expected} values, {found} were given")]
    WrongLength { width: usize, height: usize, channels: usize, expected: usize, found: usize },
    /// The image has no pixels.
    #[error("{what}: the image has no pixels ({width}x{height})")]
    Empty { what: &'static str, width: usize, height: usize },
    /// The operation is not defined for that number of channels.
    #[error("{what} needs {expected} channels, the image has {found}")]
    WrongChannels { what: &'static str, expected: &'static str, found: usize },
    /// A window reaches outside the image.
    #[error(
        "the window at ({left}, {top}) of {width}x{height} px reaches outside the image of {image_width}x{image_height} px"
    )]
    OutsideImage {
        left: usize,
        top: usize,
        width: usize,
        height: usize,
        image_width: usize,
        image_height: usize,
    },
    /// A size or factor that must be positive, or must fit the image, does not.
    #[error("{what} of {value} is not possible for an image of {width}x{height} px")]
    WrongSize { what: &'static str, value: usize, width: usize, height: usize },
    /// Two images that belong together differ in size.
    #[error(
        "{what}: {first_width}x{first_height} px and {second_width}x{second_height} px must be the same size"
    )]
    SizesDiffer {
        what: &'static str,
        first_width: usize,
        first_height: usize,
        second_width: usize,
        second_height: usize,
    },
    /// A stain cannot be estimated.
    #[error("the stains cannot be estimated: {reason}")]
    NoStains { reason: &'static str },
    /// A map holds a value that is not a number.
    #[error("{what} holds a value that is not finite")]
    NotFinite { what: &'static str },
}
